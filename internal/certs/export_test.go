package certs

// Private picks the addresses that a self-signed certificate names.
var Private = private
