// Generates code from proto/, and compiles src/ and the client library to dist/ beside them. All of it does nothing when
// nothing has changed.
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

const require = createRequire(import.meta.url);
const compiler = () => {
  try {
    return join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
  } catch {
    return undefined;
  }
};

const tsc = compiler();
if (tsc) {
  node(join(root, 'scripts/generate.mjs'));
  node(tsc, '-p', 'tsconfig.build.json');
  node(tsc, '-p', 'clients/typescript/tsconfig.json');
  chmodSync(join(root, 'dist/main/cli.js'), 0o755);
} else {
  // Installed with --omit=dev, as an image is: dist/ was built before, or comes along.
  console.log('The build tools are not installed; dist/ stays as it is.');
}
