// Write a package's SDKs for Node.js and Python, as `pulumi package gen-sdk` does with
// newer language hosts. Argument: a folder. Standard input: the package's schema.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	log.SetFlags(0)
	if err := generate(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func generate(folder string) error {
	var spec schema.PackageSpec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		return err
	}
	loader := schema.NewPluginLoader(nil) // never asked: the schema refers to no other
	pkg, err := schema.ImportSpec(spec, nil, loader, schema.ValidationOptions{})
	if err != nil {
		return err
	}
	forNode, err := nodejs.GeneratePackage("pulumi", pkg, nil, nil, true, loader)
	if err != nil {
		return err
	}
	forPython, err := python.GeneratePackage("pulumi", pkg, nil, loader)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(folder, "nodejs"), forNode); err != nil {
		return err
	}
	return write(filepath.Join(folder, "python"), forPython)
}

func write(folder string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
