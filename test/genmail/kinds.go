package genmail

import (
	"fmt"
	"strings"
)

// sentences draws a paragraph, wrapped.
func (g *Generator) sentences(n int, width int) string {
	var all []string
	for range n {
		s := one(g, sentences)
		for strings.Contains(s, "%") {
			s = strings.Replace(s, "%", one(g, nouns), 1)
		}
		all = append(all, s)
	}
	return fold(strings.Join(all, " "), width)
}

func fold(s string, width int) string {
	var b strings.Builder
	col := 0
	for i, w := range strings.Fields(s) {
		switch {
		case i == 0:
		case col+1+len(w) > width:
			b.WriteString("\n")
			col = 0
		default:
			b.WriteString(" ")
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	return b.String()
}

// prose is a letter's text.
func (g *Generator) prose(m *letter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", strings.ReplaceAll(one(g, greetings), "%", m.to.first))
	for range 1 + g.r.IntN(4) {
		fmt.Fprintf(&b, "%s\n\n", g.sentences(1+g.r.IntN(5), 72))
	}
	fmt.Fprintf(&b, "%s\n%s\n", one(g, closings), m.from.first)
	if g.some(40) {
		fmt.Fprintf(&b, "\n-- \n%s %s\n%s\nTel: +1 (%d) %d-%d\nhttp://www.%s/\n", m.from.first, m.from.last,
			one(g, []string{"Senior Software Engineer", "Director, Operations", "Sales Manager", "Vice President"}),
			200+g.r.IntN(700), 200+g.r.IntN(700), 1000+g.r.IntN(8999), m.from.domain)
	}
	if g.some(50) {
		b.WriteString(g.quote())
	}
	return b.String()
}

// quote is what a letter answers.
func (g *Generator) quote() string {
	p := g.person()
	old := g.sentences(2+g.r.IntN(6), 68)
	switch g.r.IntN(4) {
	case 0:
		return fmt.Sprintf("\n-----Original Message-----\nFrom: %s\nSent: %s\nTo: %s\nSubject: RE: %s\n\n%s\n",
			p.full(),
			g.when.Format("Monday, January 02, 2006 3:04 PM"), g.person().full(), g.subject(), old)
	case 1:
		return fmt.Sprintf("\n---------------------- Forwarded by %s %s/Corp on %s ---------------------------"+
			"\n\n%s\n", p.first, p.last,
			g.when.Format("01/02/2006 03:04 PM"), old)
	case 2:
		return fmt.Sprintf("\n\t-----Original Message-----\n\tFrom: \t%s, %s  \n\tSent:\t%s\n\tTo:\t%s\n\tC"+
			"c:\t\n\tSubject:\t%s\n\n\t%s\n",
			p.last, p.first, g.when.Format("Monday, January 02, 2006 3:04 PM"), g.person().full(), g.subject(), old)
	default:
		return fmt.Sprintf("\nOn %s, %s wrote:\n> %s\n", g.when.Format("Mon, Jan 2, 2006 at 3:04 PM"), p.full(),
			strings.ReplaceAll(old, "\n", "\n> "))
	}
}

func (g *Generator) subject() string {
	s := strings.ReplaceAll(one(g, subjects), "%", one(g, nouns))
	return one(g, []string{"", "", "Re: ", "RE: ", "Fwd: ", "FW: "}) + s
}

func (m *letter) fromPerson() {
	m.head(m.g.subject())
	m.program()
	text := m.g.prose(m)
	switch m.g.r.IntN(4) {
	case 0:
		m.alternative(text, m.htmlLetter(text))
	case 1:
		m.attached(text)
	default:
		m.plain(text)
	}
}

// htmlLetter is a text as mail programs write it in HTML.
func (m *letter) htmlLetter(text string) string {
	esc := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	switch m.g.r.IntN(4) {
	case 0:
		return "<html xmlns:v=\"urn:schemas-microsoft-com:vml\" xmlns:o=\"urn:schemas-microsoft-com:office:office\" " +
			"" +
			"xmlns:w=\"urn:schemas-microsoft-com:office:word\" xmlns:m=\"http://schemas.microsoft.com/office/2004/12/" +
			"omml\" " +
			"xmlns=\"http://www.w3.org/TR/REC-html40\">\n<head>\n<meta http-equiv=\"Content-Type\" " +
			"content=\"text/html; charset=utf-8\">\n" +
			"<meta name=\"Generator\" content=\"Microsoft Word 15 (filtered medium)\">\n<style><!--\n/* Font " +
			"Definitions */\n" +
			"@font-face\n\t{font-family:\"Cambria Math\";\n\tpanose-1:2 4 5 3 5 4 6 3 2 4;}\n@font-face\n\t{font-fa" +
			"mily:Calibri;\n" +
			"\tpanose-1:2 15 5 2 2 2 4 3 2 4;}\n/* Style Definitions */\np.MsoNormal, li.MsoNormal, " +
			"div.MsoNormal\n\t{margin:0in;\n" +
			"\tmargin-bottom:.0001pt;\n\tfont-size:11.0pt;\n\tfont-family:\"Calibri\",sans-serif;}\na:link, " +
			"span.MsoHyperlink\n" +
			"\t{mso-style-priority:99;\n\tcolor:#0563C1;\n\ttext-decoration:underline;}\n.MsoChpDe" +
			"fault\n\t{mso-style-type:export-only;}\n" +
			"@page WordSection1\n\t{size:8.5in 11.0in;\n\tmargin:1.0in 1.0in 1.0in 1.0in;}\ndiv.WordSection1\n\t{" +
			"page:WordSection1;}\n--></style>\n" +
			"</head>\n<body lang=\"EN-US\" link=\"#0563C1\" vlink=\"#954F72\">\n<div class=\"WordSection1\">\n<p " +
			"class=\"MsoNormal\">" +
			strings.ReplaceAll(esc, "\n\n", "<o:p></o:p></p>\n<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n<p "+
				"class=\"MsoNormal\">") + "<o:p></o:p></p>\n</div>\n</body>\n</html>"
	case 1:
		return "<div dir=\"ltr\">" + strings.ReplaceAll(esc, "\n", "<br>") + "</div><br><div " +
			"class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">On " +
			m.g.when.Format("Mon, Jan 2, 2006 at 3:04 PM") + " " + m.to.first + " &lt;<a href=\"mailto:" +
			m.to.address + "\">" + m.to.address +
			"</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px " +
			"0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\">" +
			m.g.sentences(3, 70) + "</blockquote></div>"
	case 2:
		return "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0 Transitional//EN\">\n<HTML><HEAD>\n<META " +
			"HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=iso-8859-1\">\n" +
			"<META content=\"MSHTML 6.00.2800.1106\" name=GENERATOR>\n<STYLE></STYLE>\n</HEAD>\n<BODY " +
			"bgColor=#ffffff>\n<DIV><FONT face=Arial size=2>" +
			strings.ReplaceAll(esc, "\n\n", "</FONT></DIV>\n<DIV>&nbsp;</DIV>\n<DIV><FONT face=Arial size=2>") + "<" +
			"/FONT></DIV></BODY></HTML>"
	default:
		return "<html>\n  <head>\n    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\">\n  " +
			"</head>\n  <body>\n    <p>" +
			strings.ReplaceAll(esc, "\n\n", "</p>\n    <p>") + "</p>\n  </body>\n</html>"
	}
}

func (m *letter) toList() {
	g := m.g
	list := strings.ToLower(one(g, []string{"users", "dev", "discuss", "announce", "talk", "linux", "o" +
		"penhardware"})) + "-" + strings.ToLower(one(g, nouns))
	host := "lists." + one(g, domains)
	m.head("[" + list + "] " + g.subject())
	m.line("X-BeenThere: %s@%s\nX-Mailman-Version: 2.1.29\nPrecedence: list\nList-Id: <%s.%s>\n"+
		"List-Unsubscribe: <https://%s/mailman/options/%s>,\n <mailto:%s-request@%s?subject=unsubscribe>\n"+
		"List-Archive: <http://%s/pipermail/%s/>\nList-Post: <mailto:%s@%s>\nList-Help: <mailto:%s-request@%s?subje"+
		"ct=help>\n"+
		"List-Subscribe: <https://%s/mailman/listinfo/%s>,\n <mailto:%s-request@%s?subject=subscribe>\n"+
		"Errors-To: %s-bounces@%s\nSender: \"%s\" <%s-bounces@%s>",
		list, host, list, host, host, list, list, host, host, list,
		list, host, list, host, host, list, list, host, list, host, list, list, host)
	m.program()
	text := g.prose(m) + fmt.Sprintf("\n_______________________________________________\n%s mailing "+
		"list\n%s@%s\nhttps://%s/mailman/listinfo/%s\n",
		list, list, host, host, list)
	if g.some(30) {
		m.alternative(text, m.htmlLetter(text))
		return
	}
	m.plain(text)
}

func (m *letter) patch() {
	g := m.g
	file := strings.ToLower(one(g, nouns)) + "/" + strings.ToLower(one(g, nouns)) + one(g, []string{".c", ".h",
		".cpp", ".py", ".conf", ".bb", ".dts"})
	m.head(fmt.Sprintf("[PATCH v%d %d/%d] %s: %s", 1+g.r.IntN(4), 1+g.r.IntN(5), 5, strings.ToLower(one(g,
		nouns)), strings.ToLower(one(g, subjects))))
	m.line("X-Mailer: git-send-email 2.31.1\nContent-Type: text/plain; charset=\"us-ascii\"\nConte" +
		"nt-Transfer-Encoding: 7bit\n")
	m.line("From: %s\n\n%s\n\nSigned-off-by: %s\nReviewed-by: %s\n---\n %s | %d ++++++++------\n 1 file changed, "+
		"%d insertions(+), %d deletions(-)\n",
		m.from.full(), g.sentences(2, 72), m.from.full(), g.person().full(), file, g.r.IntN(90), g.r.IntN(50), g.r.IntN(40))
	m.line("diff --git a/%s b/%s\nindex %s..%s 100644\n--- a/%s\n+++ b/%s", file, file, g.hex(7), g.hex(7), file,
		file)
	for range 1 + g.r.IntN(3) {
		m.line("@@ -%d,%d +%d,%d @@", g.r.IntN(900), 7, g.r.IntN(900), 9)
		for range 4 + g.r.IntN(20) {
			m.line("%s%s", one(g, []string{" ", " ", " ", "+", "-"}), one(g, codeLines))
		}
	}
	m.line("-- \n2.31.1\n")
}

// shell is the frame of an HTML mail that a program writes.
func (m *letter) shell(title, inner string) string {
	g := m.g
	color := "#" + g.hex(6)
	return "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtm" +
		"l1/DTD/xhtml1-transitional.dtd\">\n" +
		"<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta http-equiv=\"Content-Type\" " +
		"content=\"text/html; charset=utf-8\" />\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\" />\n<meta " +
		"name=\"x-apple-disable-message-reformatting\" />\n" +
		"<title>" + title + "</title>\n<style type=\"text/css\">\nbody { margin: 0; padding: 0; width: 100% " +
		"!important; -webkit-text-size-adjust: 100%; -ms-text-size-adjust: 100%; }\n" +
		"table, td { border-collapse: collapse; mso-table-lspace: 0pt; mso-table-rspace: 0pt; }\nimg { border: 0; " +
		"height: auto; line-height: 100%; outline: none; text-decoration: none; }\n" +
		"a { color: " + color + "; text-decoration: none; }\n@media only screen and (max-width: 600px) {\n  " +
		".container { width: 100% !important; }\n  .button { display: block !important; " +
		"}\n}\n</style>\n</head>\n" +
		"<body bgcolor=\"#f4f4f4\" style=\"margin: 0; padding: 0; background-color: #f4f4f4;\">\n<table " +
		"width=\"100%\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" role=\"presentation\">\n<tr>\n" +
		"<td align=\"center\" valign=\"top\" style=\"padding: 20px 0;\">\n<table class=\"container\" width=\"600\" " +
		"border=\"0\" cellpadding=\"0\" cellspacing=\"0\" style=\"width: 600px; background-color: #ffffff;\">\n" +
		"<tr>\n<td style=\"padding: 30px 40px; font-family: 'Helvetica Neue', Helvetica, Arial, sans-serif; " +
		"font-size: 16px; line-height: 24px; color: #333333;\">\n" +
		"<h1 style=\"font-size: 24px; line-height: 32px; margin: 0 0 20px 0; color: " + color + ";\">" + title + "<" +
		"/h1>\n" + inner + "\n</td>\n</tr>\n" +
		"<tr>\n<td align=\"center\" style=\"padding: 20px; font-family: Arial, sans-serif; font-size: 12px; " +
		"line-height: 18px; color: #999999;\">\n" +
		"You are receiving this email because you signed up at " + m.from.domain + ".<br />\n<a " +
		"href=\"https://www." + m.from.domain + "/unsubscribe?u=" + g.hex(24) + "\" target=\"_blank\">Unsubscri" +
		"be</a> | " +
		"<a href=\"https://www." + m.from.domain + "/privacy\" target=\"_blank\">Privacy Policy</a><br />\n&copy; " +
		"" + g.when.Format("2006") + " " + m.from.domain + ". All rights reserved.\n</td>\n</tr>\n</" +
		"table>\n</td>\n</tr>\n</table>\n" +
		"<img src=\"https://track." + m.from.domain + "/open/" + g.random(40) + ".gif\" width=\"1\" height=\"1\" " +
		"alt=\"\" style=\"display: block;\" />\n</body>\n</html>"
}

func (m *letter) button(text, link string) string {
	return "<table border=\"0\" cellpadding=\"0\" cellspacing=\"0\" align=\"center\">\n<tr>\n<td " +
		"align=\"center\" style=\"border-radius: 4px; background-color: #" + m.g.hex(6) + ";\">\n" +
		"<a class=\"button\" href=\"" + link + "\" target=\"_blank\" style=\"display: inline-block; padding: 12px " +
		"24px; font-size: 16px; font-weight: bold; color: #ffffff; text-decoration: none;\">" + text + "<" +
		"/a>\n</td>\n</tr>\n</table>\n"
}

func (m *letter) fromApplication() {
	g := m.g
	m.from.address = one(g, []string{"noreply", "no-reply", "support", "notifications", "hello", "info"}) + "@" +
		m.from.domain
	link := "https://www." + m.from.domain + one(g, []string{"/confirm", "/reset-password", "/verify", "/login",
		"/invite", "/account"}) + "?token=" + g.random(40)
	title, text := one(g, appTitles), one(g, appTexts)
	m.head(title)
	m.line("X-Mailer: %s", one(g, []string{"Nodemailer", "PHPMailer 6.5.0 (https://github.com/PHPMail" +
		"er/PHPMailer)", "ActionMailer", "SwiftMailer"}))
	words := fmt.Sprintf("Hello %s,\n\n%s\n\n%s\n\nYour code is %06d. It expires in %d minutes.\n\n"+
		"If you did not request this, you can safely ignore this email.\n\nThanks,\nThe %s Team\n", m.to.first,
		text, link, g.r.IntN(1_000_000), 5*(1+g.r.IntN(12)), m.from.last)
	html := m.shell(title, "<p>Hello "+m.to.first+",</p>\n<p>"+text+"</p>\n"+m.button(one(g, []string{"Confirm " +
		"your email", "Reset password", "Get started", "View details", "Log in"}), link)+
		"<p>If the button does not work, copy and paste this link into your browser:<br />\n<a "+
		"href=\""+link+"\">"+link+"</a></p>\n<p>Thanks,<br />\nThe "+m.from.last+" Team</p>")
	switch g.r.IntN(3) {
	case 0:
		m.plain(words)
	case 1:
		m.htmlPart(html)
	default:
		m.alternative(words, html)
	}
}

func (m *letter) newsletter() {
	g := m.g
	m.head(one(g, appTitles) + " - " + g.subject())
	m.line("List-Unsubscribe: <https://%s/unsubscribe/%s>, <mailto:unsubscribe@%s?subject=unsubscribe>\nList-Unsu"+
		"bscribe-Post: List-Unsubscribe=One-Click\n"+
		"Feedback-ID: %d:%d:us%d.%s\nX-Report-Abuse: Please report abuse for this campaign here: "+
		"https://%s/abuse\nX-Campaign: %s\nX-SG-EID: %s\n %s\nX-Entity-ID: %s",
		m.from.domain, g.random(30), m.from.domain, g.r.IntN(9999999), g.r.IntN(9999999), g.r.IntN(20),
		m.from.domain, m.from.domain, g.hex(20), g.random(70), g.random(60), g.random(24)+"==")
	var inner, text strings.Builder
	for range 2 + g.r.IntN(5) {
		t, s := one(g, appTitles), g.sentences(3, 70)
		fmt.Fprintf(&inner, "<table width=\"100%%\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\">\n<tr>\n<td "+
			"valign=\"top\" style=\"padding: 10px 0;\">\n"+
			"<a href=\"https://click.%s/ls/click?upn=%s\" target=\"_blank\"><img src=\"https://cdn.%s/images/%s.jpg\" "+
			"width=\"560\" alt=\"%s\" style=\"display: block; width: 100%%; max-width: 560px;\" /></a>\n"+
			"<h2 style=\"font-size: 20px; margin: 0;\">%s</h2>\n<p style=\"margin: 0 0 16px "+
			"0;\">%s</p>\n</td>\n</tr>\n</table>\n", m.from.domain, g.random(80), m.from.domain, g.hex(20), t, t, s)
		fmt.Fprintf(&text, "%s\n%s\nhttps://click.%s/ls/click?upn=%s\n\n", t, s, m.from.domain, g.random(60))
	}
	m.alternative(text.String(), m.shell(one(g, appTitles), inner.String()))
}

// fromOffice is mail through a large hosted Exchange.
func (m *letter) fromOffice() {
	g := m.g
	site := strings.ToUpper(g.random(3)) + "PR0" + fmt.Sprint(1+g.r.IntN(9)) + "MB" +
		fmt.Sprint(1000+g.r.IntN(8999))
	m.line("Received: from %s.namprd%02d.prod.outlook.com (2603:10b6:%s::%s) by\n %s.namprd%02d.prod.outlook.com "+
		"with HTTPS; %s",
		site, g.r.IntN(20), g.hex(3), g.hex(2), site, g.r.IntN(20), g.date())
	m.line("ARC-Seal: i=1; a=rsa-sha256; s=arcselector9901; d=microsoft.com; cv=none;\n "+
		"b=%s\nARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=microsoft.com;\n"+
		" s=arcselector9901;\n h=From:Date:Subject:Message-ID:Content-Type:MIME-Version:X-MS-E"+
		"xchange-AntiSpam-MessageData-ChunkCount:X-MS-Exchange-AntiSpam-MessageData-0:X-MS-Exc"+
		"hange-AntiSpam-MessageData-1;\n bh=%s;\n b=%s\n"+
		"ARC-Authentication-Results: i=1; mx.microsoft.com 1; spf=pass\n smtp.mailfrom=%s; dmarc=pass action=none "+
		"header.from=%s;\n dkim=pass header.d=%s; arc=none", g.random(340), g.base64(32), g.random(340),
		m.from.domain, m.from.domain, m.from.domain)
	m.head(g.subject())
	guid := g.hex(8) + "-" + g.hex(4) + "-" + g.hex(4) + "-" + g.hex(4) + "-" + g.hex(12)
	m.line("Thread-Topic: %s\nThread-Index: AdV%s==\nAccept-Language: en-US\nContent-Language: "+
		"en-US\nX-MS-Has-Attach:\nX-MS-TNEF-Correlator:\n"+
		"x-ms-publictraffictype: Email\nx-ms-traffictypediagnostic: %s:EE_\nx-ms-office365-filt"+
		"ering-correlation-id: %s\nX-MS-Exchange-Organization-SCL: -1\n"+
		"X-MS-Exchange-Organization-AuthSource: %s.namprd%02d.prod.outlook.com\nX-MS-Exchange-Organization-AuthAs: "+
		"Anonymous\nX-MS-Exchange-CrossTenant-OriginalArrivalTime: %s (UTC)\n"+
		"X-MS-Exchange-CrossTenant-FromEntityHeader: Internet\nX-MS-Exchange-CrossTenant-Id: "+
		"%s\nX-MS-Exchange-CrossTenant-Network-Message-Id: %s\nX-MS-Exchange-Transport-CrossTenantHeadersStamped: "+
		"%s\n"+
		"X-Microsoft-Antispam: BCL:0;\nX-Microsoft-Antispam-Mailbox-Delivery: ucf:0;jmr:0;auth:0;dest:I;E"+
		"NG:(910001)(944506478)(944626604)(920097)(930097);\n"+
		"X-Forefront-Antispam-Report: CIP:%s;CTRY:US;LANG:en;SCL:1;SRV:;IPV:NLI;SFV:NSPM;H:%s;"+
		"PTR:%s;CAT:NONE;SFTY:;SFS:;DIR:INB;SFP:;\nX-MS-Exchange-AntiSpam-MessageData-ChunkCount: 1",
		g.subject(), g.random(24), site, guid, site, g.r.IntN(20), g.when.Format("02 Jan 2006 15:04:05.0000"), guid,
		guid, site, g.ip(), one(g, hosts), one(g, hosts))
	text := g.prose(m)
	m.alternative(text, m.htmlLetter(text))
}

func (m *letter) invoice() {
	g := m.g
	m.head(fmt.Sprintf("Your %s %d", one(g, []string{"invoice", "order", "receipt", "statement"}),
		g.r.IntN(999999)))
	var rows, text strings.Builder
	for range 1 + g.r.IntN(8) {
		n, q, p := one(g, nouns), 1+g.r.IntN(9), g.r.IntN(100_000)
		fmt.Fprintf(&rows, "<tr>\n<td style=\"padding: 8px; border-bottom: 1px solid #eeeeee;\">%s</td>\n<td "+
			"align=\"right\" style=\"padding: 8px; border-bottom: 1px solid #eeeeee;\">%d</td>\n"+
			"<td align=\"right\" style=\"padding: 8px; border-bottom: 1px solid #eeeeee;\">$%d.%02d</td>\n</tr>\n", n,
			q, p/100, p%100)
		fmt.Fprintf(&text, "%-30s %3d  $%d.%02d\n", n, q, p/100, p%100)
	}
	m.alternative("Dear "+m.to.first+",\n\nThank you for your order. Here are the "+
		"details:\n\n"+text.String()+"\nPlease do not reply to this email.\n",
		m.shell("Thank you for your order", "<table width=\"100%\" border=\"0\" cellpadding=\"0\" "+
			"cellspacing=\"0\">\n<tr>\n<th align=\"left\">Item</th>\n<th align=\"right\">Quantity</th>\n<th "+
			"align=\"right\">Price</th>\n</tr>\n"+rows.String()+"</table>"))
}

func (m *letter) bounce() {
	g, b := m.g, m.g.boundary()
	host := one(g, hosts)
	m.from.address = "MAILER-DAEMON@" + host
	m.head("Undelivered Mail Returned to Sender")
	m.line("Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status"+
		";\n\tboundary=\"%s\"\n\nThis is a MIME-encapsulated message.\n\n--%s\nContent-Description: Notification\n"+
		"Content-Type: text/plain; charset=us-ascii\n\nThis is the mail system at host %s.\n\nYour message could "+
		"not be delivered to one or more recipients.\n\n<%s>: host %s[%s] said:\n    550 5.1.1 <%s>: Recipient "+
		"address rejected: User unknown\n"+
		"    (in reply to RCPT TO command)\n\n--%s\nContent-Description: Delivery report\nContent-Type: "+
		"message/delivery-status\n\nReporting-MTA: dns; %s\nX-Postfix-Queue-ID: %s\nArrival-Date: "+
		"%s\n\nFinal-Recipient: rfc822; %s\n"+
		"Original-Recipient: rfc822;%s\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; %s\nDiagnostic-Code: smtp; "+
		"550 5.1.1 <%s>: Recipient address rejected\n\n--%s\nContent-Description: Undelivered "+
		"Message\nContent-Type: message/rfc822\n",
		b, b, host, m.to.address, host, g.ip(), m.to.address, b, host, strings.ToUpper(g.hex(11)), g.date(),
		m.to.address, m.to.address, host, m.to.address, b)
	m.head(g.subject())
	m.plain(g.prose(m))
	m.line("\n--%s--", b)
}

// oldStyle is mail out of an archive, with a short header.
func (m *letter) oldStyle() {
	g := m.g
	m.line("Message-ID: <%d.%d.JavaMail.%s@%s>\nDate: %s\nFrom: %s\nTo: %s\nSubject: %s\nMime-Version: "+
		"1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n"+
		"X-From: %s %s\nX-To: %s %s\nX-cc: \nX-bcc: \n\n%s", g.r.IntN(99999999), g.when.UnixMilli(), m.from.first,
		one(g, hosts), g.when.Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)"),
		m.from.address, m.to.address, g.subject(), m.from.first, m.from.last, m.to.first, m.to.last, g.prose(m))
}
