// Package web serves the pages: routing, security headers, cookies, the
// refusal of foreign origins and names, page events, mail frames, attachments.
//
// Pages take the session cookie only; the API mounted beside them takes the
// Authorization header only. GET changes nothing, except that opening one's
// own message marks it as read. A mail's HTML leaves this package only for a
// sandboxed frame on a signed path, after the sanitizer, under its own
// Content-Security-Policy. Nothing that a mail names is ever fetched.
//
// Server-sent events follow the HTML standard §9.2; cookies RFC 6265bis §5.7;
// file names RFC 6266. The paths of permalinks and frames are in no log.
package web
