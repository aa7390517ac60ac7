// Runs the command line from a checkout; builds it first where the install step was not allowed to.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cli = new URL('../dist/main/cli.js', import.meta.url);
if (!existsSync(fileURLToPath(cli))) await import('./build.mjs');
await import(cli.href);
