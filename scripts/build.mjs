// Generates code from proto/ and compiles src/ to dist/. Both do nothing when nothing has changed.
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

node(join(root, 'scripts/generate.mjs'));
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
node(join(typescript, 'bin/tsc'), '-p', 'tsconfig.build.json');
chmodSync(join(root, 'dist/main/cli.js'), 0o755);
