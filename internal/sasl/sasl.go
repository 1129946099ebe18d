// Package sasl has the server side of the SASL mechanisms PLAIN (RFC 4616) and LOGIN, for SMTP, IMAP and POP3 alike.
package sasl
