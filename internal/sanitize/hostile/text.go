package hostile

// texts is group 34.
func texts() []Vector {
	text := func(name, body string) Vector {
		return Vector{Group: 34, Name: "34" + name, Acts: Script | Old, Text: body}
	}
	return []Vector{
		text("a-quotes", `http://x.test/"onmouseover="alert(1) http://x.test/'onclick='alert(1)`),
		text("b-angles", `<http://x.test/<img src=x onerror=alert(1)>> <script>alert(1)</script>`),
		text("c-parens", "(http://x.test/a_(b)) [http://x.test/](javascript:alert(1)) http://x.test/)))"),
		text("d-schemes", "javascript:alert(1) javascript://x%0aalert(1) data:text/html,<script>alert(1)</script>"+
			" file:///etc/passwd"),
		text("e-placeholders", "˱ˠ˲ ˱script˲alert(1)˱/script˲ {{.}} ${1} %s {% x %} \uE000\uE001 __LINK_0_"+
			"_ http://x.test/˱ˠ˲"),
		text("f-bidi", "http://x.test/\u202egpj.exe \u2066http://bank.test\u2069"),
		text("g-links", `[x]: javascript:alert(1) "title" ![x](http://x.test/x.png) <a href="javascript:alert(1)">x</a>`),
		text("h-entities", "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62; http://x.t"+
			"est/&quot;onclick=alert(1)"),
		text("i-controls", "a\x1b[31mred\x1b[0m\x07\x08\x0c http://x.test/\x1b[31m"),
		text("j-idn", "https://аpple.test/ https://xn--pple-43d.test/"),
	}
}
