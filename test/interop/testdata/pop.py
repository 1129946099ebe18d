import os, poplib
e = os.environ


def login():
    p = poplib.POP3(e["T_HOST"], int(e["T_POP3_PORT"]), timeout=20)
    p.user(e["T_USER"])
    p.pass_(e["T_PASS"])
    return p


p = login()
n, size = p.stat()
uidl = [x.split()[1] for x in p.uidl()[1]]
assert len(set(uidl)) == n, uidl
for i in range(1, n + 1):
    _, lines, octets = p.retr(i)
    open(os.path.join(e["T_OUT"], str(i)), "wb").write(b"\r\n".join(lines) + b"\r\n")
    head = p.top(i, 0)[1]
    assert any(l.startswith(b"Subject:") for l in head), head
p.dele(n)
p.rset()
p.quit()
p = login()
assert p.stat()[0] == n, "RSET must undo DELE"
assert [x.split()[1] for x in p.uidl()[1]] == uidl
p.quit()

# A DELE without QUIT deletes nothing; with QUIT it does.
p = login()
p.dele(1)
p.close()
p = login()
assert p.stat()[0] == n
p.dele(1)
p.quit()
p = login()
assert p.stat()[0] == n - 1
assert [x.split()[1] for x in p.uidl()[1]] == uidl[1:]
p.quit()
print("poplib ok")
