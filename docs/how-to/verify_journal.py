#!/usr/bin/env python3
"""Proves that inside a journal no record was changed, removed, inserted or moved.

usage: verify_journal.py FOLDER [SEQ HASH]    with a header's hash that was noted down before
"""
import hashlib, pathlib, re, sys

HEADER = re.compile(rb'\{"v":1,"seq":([1-9]\d*),"time":"[0-9T:.Z-]{27}",'
                    rb'"prev":"([0-9a-f]{64})","content_hash":"([0-9a-f]{64})"\}')
seq, last, withdrawn = 0, b"0" * 64, 0
noted = {int(sys.argv[2]): sys.argv[3].encode()} if len(sys.argv) > 2 else {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("segment-*.jsonl")):
    lines = path.read_bytes().split(b"\n")
    if lines.pop() != b"" or len(lines) % 2:
        sys.exit(f"{path.name}: ends inside a record")
    if int(path.name[8:28]) != seq + 1:
        sys.exit(f"{path.name}: records are missing before it, after record {seq}")
    for header, content in zip(lines[::2], lines[1::2]):
        m = HEADER.fullmatch(header)
        if not m or int(m[1]) != seq + 1 or m[2] != last:
            sys.exit(f"{path.name}: the chain is broken after record {seq}")
        if content and hashlib.sha256(content).hexdigest().encode() != m[3]:
            sys.exit(f"{path.name}: the content of record {seq + 1} was changed")
        seq, last, withdrawn = seq + 1, hashlib.sha256(header).hexdigest().encode(), withdrawn + (not content)
        if noted.pop(seq, last) != last:
            sys.exit(f"record {seq} is not the one that was noted down")
if noted:
    sys.exit(f"the journal ends at record {seq}, before the one that was noted down")
print(f"{seq} records are whole, {withdrawn} without content; the last header's hash is {last.decode()}")
