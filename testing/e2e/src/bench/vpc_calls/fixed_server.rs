//! A server that reads requests and answers fixed texts: what HTTP and the client cost alone.

use std::{
    io::{Read, Write},
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

/// Answers one request after another, none larger than the buffer: this bench's are small.
fn serve(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let [interfaces, assigned, done] = [INTERFACES, ASSIGNED, DONE].map(with_head);
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let Some((body, end)) = whole_request(&buffer[..filled]) else {
            match stream.read(&mut buffer[filled..])? {
                0 => return Ok(()),
                count => filled += count,
            }
            continue;
        };
        let answer = if body.starts_with(b"Action=Describe") {
            &interfaces
        } else if body.starts_with(b"Action=Assign") {
            &assigned
        } else {
            &done
        };
        stream.write_all(answer)?;
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
}

fn with_head(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The body of the first request in `bytes` and where it ends, once all of it is there.
fn whole_request(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length: usize = bytes[..head]
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        })
        .unwrap_or(0);
    let end = head + length;
    (bytes.len() >= end).then(|| (&bytes[head..end], end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_the_last_byte_of_its_body() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        let end = request.len() - 4;
        assert_eq!(whole_request(request), Some((&b"abc"[..], end)));
        assert_eq!(whole_request(&request[..end - 1]), None);
        assert_eq!(
            whole_request(b"GET / HTTP/1.1\r\n\r\n"),
            Some((&b""[..], 18))
        );
    }
}
