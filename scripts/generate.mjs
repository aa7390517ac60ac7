// Makes src/gen, of the server and of the client library, from proto/ with buf and ts-proto, without network. Does
// nothing when proto/ has not changed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'src/gen');
const library = 'clients/typescript';
const libraryOut = join(root, library, 'src/gen');
const stamp = join(out, '.inputs');

const libraryTemplate = `${library}/buf.gen.yaml`;
const inputs = ['buf.yaml', 'buf.gen.yaml', libraryTemplate, 'package-lock.json', 'scripts/generate.mjs'];
for (const folder of ['proto', 'third_party']) {
  for (const name of readdirSync(join(root, folder), { recursive: true })) {
    if (String(name).endsWith('.proto')) inputs.push(join(folder, String(name)));
  }
}
const hash = createHash('sha256');
for (const file of inputs.toSorted())
  hash
    .update(file)
    .update('\0')
    .update(readFileSync(join(root, file)));
const digest = hash.digest('hex');

if (existsSync(libraryOut) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) process.exit(0);

const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
const run = (...args) =>
  execFileSync(process.execPath, [buf, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
for (const folder of [out, libraryOut]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}
run('generate');
// What clients need: the contract, and the details of errors.
run('generate', 'proto', '--template', libraryTemplate);
run('generate', 'third_party', '--path', 'third_party/google', '--template', libraryTemplate);
// The descriptors, for validation and reflection, as a module: nothing to find on disk at run time.
const image = run('build', 'proto', '--as-file-descriptor-set', '-o', '-#format=binpb');
writeFileSync(
  join(out, 'descriptors.ts'),
  `/** The contract's FileDescriptorSet, base64. */\nexport const descriptorSet =\n  '${image.toString('base64')}';\n`,
);
writeFileSync(stamp, digest);
