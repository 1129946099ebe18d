import imaplib, os, sys
e = os.environ


def login():
    m = imaplib.IMAP4(e["T_HOST"], int(e["T_IMAP_PORT"]), timeout=20)
    m.login(e["T_USER"], e["T_PASS"])
    return m


def ok(r):
    assert r[0] == "OK", r
    return r[1]


m = login()
names = ok(m.list())
assert any(b"INBOX" in n for n in names), names
count = int(ok(m.select("INBOX"))[0])
uids = ok(m.uid("SEARCH", "ALL"))[0].split()
assert len(uids) == count, (uids, count)
for u in uids:
    r = ok(m.uid("FETCH", u, "(BODY.PEEK[])"))
    open(os.path.join(e["T_OUT"], u.decode()), "wb").write(r[0][1])
ok(m.uid("STORE", uids[0], "+FLAGS", r"(\Flagged custom)"))
ok(m.create("Archive"))
ok(m.uid("COPY", uids[0], "Archive"))
ok(m.append("Archive", r"(\Seen)", None, b"Subject: appended\r\n\r\nhello\r\n"))
ok(m.uid("STORE", uids[1], "+FLAGS", r"(\Deleted)"))
m.logout()

m = login()
ok(m.select("INBOX"))
assert ok(m.uid("SEARCH", "FLAGGED"))[0].split() == [uids[0]]
assert ok(m.uid("SEARCH", "KEYWORD", "custom"))[0].split() == [uids[0]]
assert ok(m.uid("SEARCH", "DELETED"))[0].split() == [uids[1]]
ok(m.uid("STORE", uids[1], "-FLAGS", r"(\Deleted)"))
assert ok(m.uid("SEARCH", "DELETED"))[0].split() == []
assert int(ok(m.select("Archive"))[0]) == 2
m.logout()
print("imaplib ok")
