#!/usr/bin/env python3
"""Checks the hash chain of a cutover log or export: verify_log.py FILE [HEAD]"""
import hashlib
import json
import sys


def verify(path, noted):
    head, records = None, 0
    with open(path, "rb") as log:
        for number, line in enumerate(log, 1):
            front, found, tail = line.rpartition(b',"hash":"')
            record = json.loads(line)
            if number == 1:
                run = record["began"]["run"]["id"]
                head = hashlib.sha256(run.encode()).hexdigest()
            head = hashlib.sha256(head.encode() + front).hexdigest()
            if not found or tail[:64] != head.encode():
                sys.exit(f"line {number} does not follow the line before it")
            records += 1
            if head == noted:
                print(f"the noted head is that of line {number}")
                noted = None
    if noted:
        sys.exit("the noted head is not in this chain")
    print(f"{records} records, head {head}")


verify(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
