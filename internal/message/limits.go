package message

// Limit: how deep multiparts and embedded messages are followed; deeper ones
// count as one opaque part.
const MaxDepth = 100

// Limit: parts of one message that are described; what follows is kept but has no number.
const MaxParts = 10_000

// Limit: bytes of one header block that are read for meaning; fields behind it are ignored.
const MaxHeaderBytes = 1 << 20

// Limit: bytes of one header field that are read; the rest of the field is ignored.
const MaxFieldBytes = 64 << 10

// Limit: bytes of a field's name; a longer one is not a field.
const MaxFieldName = 256

// Limit: bytes of one string kept in an index: a subject, a name, a parameter.
const MaxString = 16 << 10

// Limit: addresses kept of one header field.
const MaxAddresses = 1000

// Limit: parameters kept of one header field.
const MaxParams = 100

// Limit: pieces of one parameter (RFC 2231 continuations) that are joined.
const MaxParamPieces = 1000

// Limit: languages kept of a Content-Language.
const MaxLanguages = 50

// Limit: message ids kept of References; the first and the latest ones stay.
const MaxReferences = 200

// Limit: bytes of one message id kept for threading.
const MaxMessageID = 1000

// Limit: characters of the preview (RFC 8970 §3 asks for 200, allows 256).
const MaxPreview = 200

// Limit: decoded bytes of text that a preview is made of.
const MaxPreviewSource = 4 << 10

// Limit: attachments listed of one message.
const MaxAttachments = 1000

// Limit: Content-IDs that an HTML part refers to which are remembered.
const MaxCIDs = 1000

// Limit: bytes of one Content-ID reference.
const MaxCIDBytes = 256

// Limit: remarks on one message.
const MaxDefects = 20

// Limit: bytes of a multipart's boundary (RFC 2046 §5.1.1 allows 70).
const MaxBoundary = 998

// Limit: bytes of everything an index keeps of one message, encoded.
const MaxIndexBytes = 480 << 10

// Limit: bytes of an attachment's name in an index.
const MaxFileName = 1024

// Limit: links taken out of one message.
const MaxLinks = 500

// Limit: bytes of one link; a longer one is passed over.
const MaxLinkBytes = 8 << 10

// Limit: bytes of one text that are searched for links.
const MaxLinkText = 1 << 20
