//! A server that reads requests and answers fixed texts: what HTTP and the client cost alone.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::Context as _;

const INTERFACES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
<DescribeNetworkInterfacesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
<requestId>00000000-0000-0000-0000-000000000000</requestId><networkInterfaceSet><item>\
<networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId>\
<subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>\
<availabilityZone>us-east-1a</availabilityZone><description/><ownerId>123456789012</ownerId>\
<requesterManaged>false</requesterManaged><status>in-use</status>\
<macAddress>02:81:60:cb:27:37</macAddress><privateIpAddress>10.0.0.10</privateIpAddress>\
<privateDnsName>ip-10-0-0-10.ec2.internal</privateDnsName><sourceDestCheck>true</sourceDestCheck>\
<groupSet><item><groupId>sg-0123456789abcdef0</groupId><groupName>bench</groupName></item>\
</groupSet><attachment><attachmentId>eni-attach-0123456789abcdef0</attachmentId>\
<instanceId>i-0123456789abcdef0</instanceId><instanceOwnerId>123456789012</instanceOwnerId>\
<deviceIndex>0</deviceIndex><networkCardIndex>0</networkCardIndex><status>attached</status>\
<attachTime>2026-01-01T00:00:00.000Z</attachTime><deleteOnTermination>true</deleteOnTermination>\
</attachment><tagSet/><privateIpAddressesSet><item><privateIpAddress>10.0.0.10</privateIpAddress>\
<privateDnsName>ip-10-0-0-10.ec2.internal</privateDnsName><primary>true</primary></item><item>\
<privateIpAddress>10.0.0.11</privateIpAddress><primary>false</primary></item>\
</privateIpAddressesSet><interfaceType>interface</interfaceType></item></networkInterfaceSet>\
</DescribeNetworkInterfacesResponse>";
const ASSIGNED: &str = "<AssignPrivateIpAddressesResponse><return>true</return>\
<assignedPrivateIpAddressesSet><item><privateIpAddress>10.0.0.11</privateIpAddress></item>\
</assignedPrivateIpAddressesSet></AssignPrivateIpAddressesResponse>";
const DONE: &str = "<UnassignPrivateIpAddressesResponse><return>true</return>\
</UnassignPrivateIpAddressesResponse>";

/// A listening server. Its threads end with their connections, and the last with the process.
pub(super) struct FixedServer {
    endpoint: String,
}

impl FixedServer {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks shows as an error of its client.
                thread::spawn(move || serve(&stream).ok());
            }
        });
        Ok(Self { endpoint })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = if body.starts_with(b"Action=Describe") {
            INTERFACES
        } else if body.starts_with(b"Action=Assign") {
            ASSIGNED
        } else {
            DONE
        };
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n{answer}"
        );
        writer.write_all(answer.as_bytes())?;
    }
}
