package sanitize

// kind says what becomes of an element.
type kind uint8

const (
	unwrap kind = iota // unknown: the tags go, the content stays
	keep
	void     // kept, has no content
	hide     // removed with its content
	tagsOnly // known and dangerous: the tags go and are counted, the content stays
	gone     // known and dangerous, without content
	asDiv    // becomes a div
	asSpan   // becomes a span
	special  // has its own rule
)

// kinds of all elements that are not unwrapped. An element that is not here is
// not in the output.
var kinds = map[string]kind{
	"a": keep, "abbr": keep, "acronym": keep, "address": keep, "article": keep, "aside": keep, "b": keep, "bdi": keep,
	"bdo": keep, "big": keep, "blockquote": keep, "caption": keep, "center": keep, "cite": keep, "code": keep,
	"colgroup": keep, "dd": keep, "del": keep, "details": keep, "dfn": keep, "dir": keep, "div": keep, "dl": keep,
	"dt": keep, "em": keep, "figcaption": keep, "figure": keep, "font": keep, "footer": keep, "h1": keep, "h2": keep,
	"h3": keep, "h4": keep, "h5": keep, "h6": keep, "header": keep, "hgroup": keep, "i": keep, "ins": keep, "kbd": keep,
	"li": keep, "main": keep, "map": keep, "mark": keep, "menu": keep, "nav": keep, "nobr": keep, "ol": keep, "p": keep,
	"pre": keep, "q": keep, "rp": keep, "rt": keep, "ruby": keep, "s": keep, "samp": keep, "section": keep,
	"small": keep, "span": keep, "strike": keep, "strong": keep, "sub": keep, "summary": keep, "sup": keep,
	"table": keep, "tbody": keep, "td": keep, "tfoot": keep, "th": keep, "thead": keep, "time": keep, "tr": keep,
	"tt": keep, "u": keep, "ul": keep, "var": keep, "select": keep, "option": keep, "optgroup": keep, "button": keep,
	"meter": keep, "progress": keep, "data": keep,

	"area": void, "br": void, "col": void, "hr": void, "img": void, "input": void, "wbr": void,

	"form": asDiv, "fieldset": asDiv, "dialog": asDiv, "listing": asDiv, "marquee": asDiv,
	"label": asSpan, "legend": asSpan, "output": asSpan,

	"html": special, "head": unwrap, "body": special, "meta": special, "style": special, "title": hide,
	"textarea": special, "xmp": special, "image": special, "plaintext": unwrap,

	"script": hide, "iframe": hide, "noembed": hide, "noframes": hide, "noscript": hide, "template": hide,
	"svg": hide, "math": hide, "datalist": hide,
	"object": tagsOnly, "applet": tagsOnly, "audio": tagsOnly, "video": tagsOnly, "canvas": tagsOnly,
	"picture": unwrap, "portal": tagsOnly, "frameset": tagsOnly, "fencedframe": tagsOnly, "slot": unwrap,
	"frame": gone, "embed": gone, "base": gone, "basefont": gone, "bgsound": gone, "link": gone, "source": gone,
	"track": gone, "param": gone, "keygen": gone, "isindex": gone, "command": gone,
}

// quiet removals are not worth telling.
var quiet = map[string]bool{"title": true, "param": true, "basefont": true, "noframes": true, "datalist": true}

// blocks close an open paragraph when they start (HTML §13.2.6.4.7).
var blocks = set("address", "article", "aside", "blockquote", "center", "details", "dir", "div", "dl", "figcaption",
	"figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "main", "menu", "nav", "ol", "p",
	"pre", "section", "summary", "table", "ul", "li", "dd", "dt")

// formatting elements that go on behind the end of a block they were not closed in.
var formatting = set("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")

// walls: an end tag inside one of these closes nothing outside of it.
var walls = set("table", "td", "th", "caption", "button", "select")

// tableTags reach through cells up to their table.
var tableTags = set("table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption", "colgroup")

// siblings: a start tag closes these if one is open, up to the wall given.
var siblings = map[string][]string{
	"li": {"li"}, "dd": {"dd", "dt"}, "dt": {"dd", "dt"}, "option": {"option"}, "optgroup": {"option", "optgroup"},
	"tr": {"tr", "caption", "colgroup"}, "td": {"td", "th"}, "th": {"td", "th"},
	"tbody": tableParts, "thead": tableParts, "tfoot": tableParts, "a": {"a"}, "button": {"button"}, "nobr": {"nobr"},
	"caption": {"caption"}, "colgroup": {"colgroup"}, "select": {"select"},
}

var tableParts = []string{"tbody", "thead", "tfoot", "caption", "colgroup"}

// siblingWalls: where the search for a sibling ends, beside walls.
var siblingWalls = map[string]map[string]bool{
	"li": set("ul", "ol", "menu", "dir", "table", "td", "th"), "dd": set("dl", "table", "td", "th"),
	"dt": set("dl", "table", "td", "th"), "tr": set("table"), "td": set("table", "tr"), "th": set("table", "tr"),
	"tbody": set("table"), "thead": set("table"), "tfoot": set("table"), "caption": set("table"),
	"colgroup": set("table"),
}

// attribute rules.
type rule uint8

const (
	plain   rule = iota + 1
	link         // a href
	image        // an image source
	css          // a style attribute
	yesOnly      // an attribute without a value
)

// globalAttrs may stand on every element.
var globalAttrs = map[string]rule{
	"id": plain, "class": plain, "style": css, "title": plain, "lang": plain, "dir": plain, "align": plain,
	"valign": plain, "width": plain, "height": plain, "bgcolor": plain, "border": plain, "role": plain,
	"aria-label": plain, "aria-hidden": plain, "hidden": yesOnly, "data-remote": yesOnly, "color": plain,
}

// elementAttrs may stand on one element.
var elementAttrs = map[string]map[string]rule{
	"a":     {"href": link, "name": plain},
	"area":  {"href": link, "alt": plain, "shape": plain, "coords": plain},
	"map":   {"name": plain},
	"style": {"media": plain},
	"img":   {"src": image, "alt": plain, "usemap": plain, "hspace": plain, "vspace": plain},
	"body":  {"background": image, "text": plain, "link": plain, "vlink": plain, "alink": plain},
	"table": {"background": image, "cellpadding": plain, "cellspacing": plain, "rules": plain, "frame": plain,
		"summary": plain},
	"tr":       {"background": image},
	"tbody":    {"background": image},
	"thead":    {"background": image},
	"tfoot":    {"background": image},
	"td":       cellAttrs,
	"th":       cellAttrs,
	"col":      {"span": plain},
	"colgroup": {"span": plain},
	"font":     {"face": plain, "size": plain},
	"hr":       {"size": plain, "noshade": yesOnly},
	"br":       {"clear": plain},
	"ol":       {"start": plain, "type": plain, "reversed": yesOnly, "compact": yesOnly},
	"ul":       {"type": plain, "compact": yesOnly},
	"li":       {"type": plain, "value": plain},
	"input":    {"type": plain, "value": plain, "placeholder": plain, "checked": yesOnly, "size": plain},
	"textarea": {"rows": plain, "cols": plain, "placeholder": plain},
	"select":   {"multiple": yesOnly, "size": plain},
	"option":   {"selected": yesOnly, "label": plain},
	"optgroup": {"label": plain},
	"details":  {"open": yesOnly},
	"time":     {"datetime": plain},
	"data":     {"value": plain},
	"bdo":      {},
	"meter":    {"value": plain, "min": plain, "max": plain, "low": plain, "high": plain, "optimum": plain},
	"progress": {"value": plain, "max": plain},
}

var cellAttrs = map[string]rule{"background": image, "colspan": plain, "rowspan": plain, "nowrap": yesOnly,
	"abbr": plain, "scope": plain}

// disabled elements cannot be used.
var disabled = set("input", "textarea", "select", "button", "option", "optgroup")

// breakout tags end foreign content where they stand (HTML §13.2.6.5).
var breakout = set("b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed",
	"h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p",
	"pre", "ruby", "s", "small", "span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var")

// integration points are places in foreign content where HTML may stand.
var integration = set("foreignobject", "desc", "title", "annotation-xml", "mi", "mo", "mn", "ms", "mtext")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
