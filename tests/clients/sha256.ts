// The hash of a document, as persisted documents name it. In a browser: crypto.subtle.
import { createHash } from "node:crypto";

export const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
