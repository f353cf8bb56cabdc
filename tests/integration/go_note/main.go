// Command notecheck signs and opens signed notes with golang.org/x/mod/sumdb/note.
//
//	notecheck open VKEY < note     prints the verified text
//	notecheck sign PRIVATE < text  prints the note
//	notecheck generate NAME        prints a private and a verifier key, one a line
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: notecheck open|sign|generate ARGUMENT")
	}
	out, err := run(os.Args[1], os.Args[2], os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(out); err != nil {
		log.Fatal(err)
	}
}

func run(verb, argument string, in io.Reader) ([]byte, error) {
	switch verb {
	case "generate":
		private, public, err := note.GenerateKey(rand.Reader, argument)
		return []byte(private + "\n" + public + "\n"), err
	case "open":
		verifier, err := note.NewVerifier(argument)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		opened, err := note.Open(data, note.VerifierList(verifier))
		if err != nil {
			return nil, err
		}
		return []byte(opened.Text), nil
	case "sign":
		signer, err := note.NewSigner(argument)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		return note.Sign(&note.Note{Text: string(data)}, signer)
	}
	return nil, fmt.Errorf("unknown verb %q", verb)
}
