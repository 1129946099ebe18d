// Package ui holds what people see: the page templates, the style sheet, our
// own ES modules and icons, all embedded, with nothing to build and nothing
// loaded from elsewhere.
//
// It knows no store and no protocol: package web fills the view models here
// and calls Render. Every page works without scripts; the modules make it
// quicker. Outside text passes only through html/template's escaping, and the
// package never marks text from outside as safe.
package ui
