package smtp

// What the package itself says. Sessions have their own replies.
var (
	replyOK             = Reply{250, "2.0.0", "OK"}
	replySenderOK       = Reply{250, "2.1.0", "OK"}
	replyRcptOK         = Reply{250, "2.1.5", "OK"}
	replyBye            = Reply{221, "2.0.0", "Bye"}
	replyVerify         = Reply{252, "2.5.0", "Not told; send the message"}
	replyHelp           = Reply{214, "2.0.0", "RFC 5321 says it all"}
	replyGoAhead        = Reply{354, "", "Go ahead, end with a dot on a line of its own"}
	replyReadyTLS       = Reply{220, "2.0.0", "Ready to start TLS"}
	replyAuthOK         = Reply{235, "2.7.0", "Authentication succeeded"}
	replyBusy           = Reply{421, "4.3.2", "Too many connections, please try again later"}
	replyStopping       = Reply{421, "4.3.2", "Server is stopping, please try again"}
	replyTimeout        = Reply{421, "4.4.2", "Waited too long, closing"}
	replyTooManyErrors  = Reply{421, "4.7.0", "Too many wrong commands, closing"}
	replyTooManyLogins  = Reply{421, "4.7.0", "Too many failed logins, closing"}
	replyTooManyRcpts   = Reply{452, "4.5.3", "Too many recipients"}
	replyUnknown        = Reply{500, "5.5.1", "Unknown command"}
	replyGarbage        = Reply{500, "5.5.2", "Not a command line"}
	replyLineTooLong    = Reply{500, "5.5.2", "Line too long"}
	replySyntax         = Reply{501, "5.5.4", "Syntax error in parameters"}
	replyNoHello        = Reply{501, "5.5.4", "A name is missing"}
	replyBadSender      = Reply{501, "5.1.7", "Bad sender address"}
	replyBadRcpt        = Reply{501, "5.1.3", "Bad recipient address"}
	replyNoParams       = Reply{501, "5.5.4", "No parameters allowed"}
	replyBadBase64      = Reply{501, "5.5.2", "Cannot decode the response"}
	replyCancelled      = Reply{501, "5.7.0", "Authentication cancelled"}
	replyInjected       = Reply{501, "5.5.1", "Nothing may follow STARTTLS before the handshake, closing"}
	replyBadChunk       = Reply{501, "5.5.4", "Bad chunk size, closing"}
	replyNotHere        = Reply{502, "5.5.1", "Not offered here"}
	replyNoStartTLS     = Reply{502, "5.5.1", "STARTTLS is not offered here"}
	replyHelloFirst     = Reply{503, "5.5.1", "Say hello first"}
	replyLHLOOnly       = Reply{500, "5.5.1", "This is LMTP: say LHLO"}
	replyMailFirst      = Reply{503, "5.5.1", "MAIL first"}
	replyNested         = Reply{503, "5.5.1", "A transaction is open"}
	replyNoRcpts        = Reply{503, "5.5.1", "No valid recipients"}
	replyNoMixing       = Reply{503, "5.5.1", "Not in the midst of BDAT"}
	replyAuthDone       = Reply{503, "5.5.1", "Already authenticated"}
	replyTLSDone        = Reply{503, "5.5.1", "TLS is on already"}
	replyNoMechanism    = Reply{504, "5.5.4", "Unknown authentication mechanism"}
	replyStartTLSFirst  = Reply{530, "5.7.0", "Must issue a STARTTLS command first"}
	replyNeedTLS        = Reply{538, "5.7.11", "Encryption required for authentication"}
	replyAuthTooLong    = Reply{500, "5.5.6", "Authentication exchange line is too long"}
	replyActingAs       = Reply{535, "5.7.8", "Acting for another user is not offered"}
	replyTooLarge       = Reply{552, "5.3.4", "Message is over the size limit"}
	replyTooLargeClosed = Reply{552, "5.3.4", "Message is far over the size limit, closing"}
	replyHTTP           = Reply{554, "5.5.1", "This is an SMTP port, it does not speak HTTP"}
	replyUnknownParam   = Reply{555, "5.5.4", "Unknown parameter"}
)
