// Types of the schema and of every document in documents.ts: graphql-codegen
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema/schema.graphql",
  documents: "documents.ts",
  importExtension: ".js",
  generates: {
    "./generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        strictScalars: true,
        scalars: { DateTime: "string", SafeInt: "number", ID: { input: "string", output: "string" } },
        useTypeImports: true,
      },
    },
  },
};

export default config;
