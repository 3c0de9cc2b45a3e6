"""Sends frames of a branch ENI by its trunk's device, and prints what comes back with its tag.

Arguments: device, tag (0 for none), own MAC, own address, peer's address, peer's UDP port.
"""

import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 0x10
ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_8021Q = 3, 0x0800, 0x0806, 0x8100

device, tag, mac, own, peer, port = sys.argv[1:]
tag, mac, port = int(tag), bytes.fromhex(mac.replace(":", "")), int(port)
own, peer = socket.inet_aton(own), socket.inet_aton(peer)

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
link.bind((device, ETH_P_ALL))
link.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
link.settimeout(0.5)


def send(to, protocol, payload):
    vlan = struct.pack("!HH", ETH_P_8021Q, tag) if tag else b""
    link.send(to + mac + vlan + struct.pack("!H", protocol) + payload)


def receive(protocol):
    """The tag and the payload of the next frame of a protocol that is for us."""
    while True:
        frame, extra, _, _ = link.recvmsg(2048, 256)
        if frame[:6] != mac or frame[12:14] != struct.pack("!H", protocol):
            continue
        seen = 0
        for level, kind, data in extra:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data)
                seen = tci & 0xFFF if status & VLAN_VALID else 0
        return seen, frame[14:]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


try:
    question = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1)
    send(b"\xff" * 6, ETH_P_ARP, question + mac + own + b"\0" * 6 + peer)
    seen, answer = receive(ETH_P_ARP)
    peer_mac = answer[8:14]
    print("arp", seen, ":".join(f"{byte:02x}" for byte in peer_mac))
    udp = struct.pack("!HHHH", 4000, port, 8 + 4, 0) + b"word"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0x4000, 64, 17, 0, own, peer)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    send(peer_mac, ETH_P_IP, head + udp)
    seen, packet = receive(ETH_P_IP)
    print("udp", seen, packet[28:32].decode())
except TimeoutError:
    print("silence")
