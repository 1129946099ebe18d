# Writes partial.bin: texts and what zlib makes of each with Z_PARTIAL_FLUSH in
# one stream, each with its length in three bytes before it.
import random
import zlib

random.seed(7)
z = zlib.compressobj(6, zlib.DEFLATED, -15)
out = bytearray()
for i in range(200):
    kind = i % 4
    if kind == 0:
        text = b"a%d UID FETCH %d (FLAGS BODY.PEEK[])\r\n" % (i, i * 7)
    elif kind == 1:
        text = bytes(random.getrandbits(8) for _ in range(random.randint(1, 900)))
    elif kind == 2:
        text = b"x" * random.randint(1, 3000)
    else:
        text = b"".join(random.choice([b"\\Seen ", b"INBOX", b"(", b")", b"\r\n"]) for _ in range(200))
    packed = z.compress(text) + z.flush(zlib.Z_PARTIAL_FLUSH)
    for b in (text, packed):
        out += len(b).to_bytes(3, "big") + b
open("partial.bin", "wb").write(out)
