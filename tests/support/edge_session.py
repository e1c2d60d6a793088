"""
Asks cloudcore for an object over an edge's own connection, as somebody who took that edge over could. Runs on the edge, with nothing but Python.

usage: python3 edge_session.py CLOUD NODE RESOURCE SECONDS     RESOURCE: NAMESPACE/secret/NAME and the like; prints the answer, nothing when none comes
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import sys
import time
import uuid

PROJECT = "e632aba927ea4ac2b575ec1603d56f10"
CERTIFICATES = "/etc/kubeedge"


def frame(data: bytes) -> bytes:
    """A masked binary frame of a client (RFC 6455)."""
    size = bytes([0x80 | 126]) + struct.pack(">H", len(data)) if len(data) > 125 else bytes([0x80 | len(data)])
    mask = os.urandom(4)
    return b"\x82" + size + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def query(resource: str) -> bytes:
    """KubeEdge's message that asks for an object."""
    header = {"msg_id": str(uuid.uuid4()), "timestamp": int(time.time() * 1000), "sync": False}
    route = {"source": "edged", "group": "meta", "operation": "query", "resource": resource}
    return json.dumps({"header": header, "route": route}).encode()


def connect(cloud: str, node: str) -> ssl.SSLSocket:
    # Nobody who attacks checks the server; and OpenSSL would send an authority that it knows along, which cloudcore refuses
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(f"{CERTIFICATES}/certs/server.crt", f"{CERTIFICATES}/certs/server.key")
    link = context.wrap_socket(socket.create_connection((cloud, 10000), timeout=10), server_hostname=cloud)
    key = base64.b64encode(os.urandom(16)).decode()
    link.sendall(
        (
            f"GET /{PROJECT}/{node}/events HTTP/1.1\r\nHost: {cloud}:10000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nnode_id: {node}\r\nproject_id: {PROJECT}\r\nConnectionUse: msg\r\n\r\n"
        ).encode()
    )
    return link


def answer(cloud: str, node: str, resource: str, seconds: float) -> str:
    """What comes in `seconds` about the resource; nothing when cloudcore says nothing or hangs up."""
    wanted, received, until = f"node/{node}/{resource}".encode(), b"", time.monotonic() + seconds
    try:
        link = connect(cloud, node)
        time.sleep(1)
        link.sendall(frame(query(resource)))
        while time.monotonic() < until:
            link.settimeout(max(0.1, until - time.monotonic()))
            data = link.recv(65536)
            if not data:
                break
            received += data
    except OSError:  # It hung up, or the time is over
        pass
    begin = received.find(wanted)
    return received[begin:].decode(errors="replace") if begin >= 0 else ""


def main() -> None:
    cloud, node, resource, seconds = sys.argv[1:]
    sys.stdout.write(answer(cloud, node, resource, float(seconds)))


if __name__ == "__main__":
    main()
