import email.message, os, smtplib
e = os.environ
m = email.message.EmailMessage()
m["From"], m["To"], m["Subject"] = "ada@example.test", "bob@example.test", "smtplib"
m.set_content("Grüße\n.\n..\n")
m.add_attachment(os.urandom(5000), maintype="application", subtype="octet-stream", filename="x.bin")
with smtplib.SMTP(e["T_HOST"], int(e["T_SMTP_PORT"]), timeout=20) as s:
    s.login(e["T_USER"], e["T_PASS"])
    refused = s.send_message(m, to_addrs=["a@example.test", "b@example.test"])
    assert refused == {}, refused
    code, text = s.docmd("NOOP")
    assert code == 250, text
    s.mail("ada@example.test")
    s.rcpt("bob@example.test")
    code, text = s.data(m.as_bytes())
    assert code == 250 and text.startswith(b"Accepted [STATUS=new MSGID=") and text.endswith(b"]"), text
try:
    with smtplib.SMTP(e["T_HOST"], int(e["T_SMTP_PORT"]), timeout=20) as s:
        s.login(e["T_USER"], "wrong")
    raise SystemExit("a wrong password was accepted")
except smtplib.SMTPAuthenticationError as err:
    assert err.smtp_code == 535, err
print("smtplib ok")
