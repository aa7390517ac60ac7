/** The import of a real year over gRPC into a server of its own, as the golden test does it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { tallyback } from './processes.ts';
import type { Result } from './result.ts';

const rows = 541_909;
const file = join(import.meta.dirname, '../../../shared/data/online-retail/onlineretail.csv.br');

export async function realYear(): Promise<Result[]> {
  if (!existsSync(file)) return [];
  const server = await tallyback();
  const flags = ['--rebate-bps', '500', '--hold-days', '30', '--withdraw-monthly', '1000'];
  const start = performance.now();
  const cli = join(import.meta.dirname, '../src/main/cli.js');
  const client = spawn(
    process.execPath,
    [cli, 'import', 'online-retail', file, '--target', server.address, ...flags],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const [code] = (await once(client, 'exit')) as [number];
  const seconds = (performance.now() - start) / 1_000;
  await server.stop();
  if (code !== 0) throw new Error(`the import ended with ${code}`);
  return [
    {
      name: 'import of the real year, to the last read model',
      value: rows / seconds,
      unit: 'rows/s',
      note: `${seconds.toFixed(1)} s for ${rows} rows`,
    },
  ];
}
