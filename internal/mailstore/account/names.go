package account

import (
	"strconv"
	"strings"
)

// Friendly is a name that people can say: for accounts made in the browser.
type Friendly struct {
	Local   string // "hazel.brook", with digits from the second try on
	Display string // "Hazel Brook"
}

// FriendlyName draws a name. Each further try is less likely to be taken:
// after the first it ends in two digits, then in four, then in six.
func FriendlyName(try int) Friendly {
	given, family := strings.Fields(givenNames), strings.Fields(familyNames)
	g, f := given[below(len(given))], family[below(len(family))]
	n := Friendly{Local: g + "." + f, Display: title(g) + " " + title(f)}
	switch {
	case try <= 0:
	case try < 4:
		n.Local += strconv.Itoa(10 + below(90))
	case try < 8:
		n.Local += strconv.Itoa(1_000 + below(9_000))
	default:
		n.Local += strconv.Itoa(100_000 + below(900_000))
	}
	return n
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// The words of friendly names: given names from many places, and plain things
// of land, water and weather for family names. About 15,000 pairs.
const givenNames = `
ada aiko alma amara amir anders anika anton arlo astrid aurel aya bela bodil bruno
cara carlos cedar clara cleo cora cyril dalia dana daria dario davi dora edda edith
eino elena elio elsa emil emre enzo erik esme eva farah felix fern finn flora freya
gaia gemma greta hana hanno hazel heidi hugo ida ilan ilse imani inga iris isak ivo
jana jonas jori juno kai kalea karim kira klara lale lars leif lena levi liv lotta
luca lucia mae magnus maja malik mara marek maren mateo mika mila mina nadia nela
nico nils noor nora ola olive omar oona oskar otto petra pia rafi rhea rosa rune
sami sana selma signe soren stella tala tamar theo tilda timo tove vera yara zeno
`

const familyNames = `
acorn alder amber arbor ash aspen autumn bark barley basin bay beach beacon birch
bloom bluff bramble breeze bridge brook canyon cedar cliff cloud clover coast comet
copper coral cove creek crest dale dawn delta drift dune ember fen fern field fir
fjord flint forest frost garden glade glen granite grove gulf harbor harvest heath
heather hedge hill hollow holly island ivy juniper lagoon lake lantern larch laurel
lichen linden lotus maple marble marsh meadow mesa mist moor moss mountain north
oak ocean olive orchard pebble pine plain pond poplar prairie quarry quartz rain
reed reef ridge river rowan sage sand sequoia shore sierra sky slate snow spring
spruce star stone stream summit tarn thistle tide timber trail vale valley willow wren
`
