package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gpl = `GNU GENERAL PUBLIC LICENSE
This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free
Software Foundation, either version 3 of the License, or (at your option) any later version.`

func TestLicencesIn(t *testing.T) {
	for text, want := range map[string]string{
		"": "the text of a licence",
		strings.Repeat("All rights reserved by us. ", 50): "the text of a licence",
		gpl: "is not accepted",
	} {
		file := filepath.Join(t.TempDir(), "LICENSE")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if ids, err := licencesIn(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, ids, err, want)
		}
	}
	if ids, err := licencesIn("../../LICENSE"); err != nil || len(ids) != 1 || ids[0] != "Apache-2.0" {
		t.Errorf("our own: %v, %v", ids, err)
	}
}
