/** The guard of the contract guards: a planted breaking change must be found. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'tallyback-proto-'));
  for (const name of ['buf.yaml', 'proto', 'third_party'])
    cpSync(join(root, name), join(copy, name), { recursive: true });
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** What buf says; empty when it has nothing to say. */
function buf(...args: readonly string[]): string {
  try {
    return execFileSync(process.execPath, [join(root, 'node_modules/@bufbuild/buf/bin/buf'), ...args], {
      cwd: copy,
      encoding: 'utf8',
      stdio: 'pipe',
    });
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error);
  }
}

describe('the contract', () => {
  test('lints, and breaks nothing that was released', () => {
    expect(buf('lint')).toBe('');
    expect(buf('breaking', 'proto', '--against', 'proto/baseline.binpb')).toBe('');
  });

  test.each([
    ['events/v1/account.proto', 'int64 amount_minor = 9;', 'int64 amount_minor = 99;'],
    ['events/v1/order.proto', 'string sku = 2;', 'string stock_keeping_unit = 2;'],
    ['account/v1/account_query_service.proto', 'rpc GetBalance(', 'rpc FetchBalance('],
  ])('a breaking change in %s is found', (file, from, to) => {
    const path = join(copy, 'proto/tallyback', file);
    const text = readFileSync(path, 'utf8');
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
    expect(buf('breaking', 'proto', '--against', 'proto/baseline.binpb')).not.toBe('');
    writeFileSync(path, text);
  });
});
