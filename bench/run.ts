/** `npm run bench [-- SCENARIO …]`, all if none is named. Prints a table and writes the raw figures. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { commands } from './commands.ts';
import { eventstoredb } from './eventstoredb.ts';

import { log } from './log.ts';
import { realYear } from './real-year.ts';
import { emmett } from './replay/emmett.ts';
import { replay } from './replay/replay.ts';
import { rebuild } from './rebuild.ts';
import type { Result } from './result.ts';
import { snapshots } from './snapshots.ts';
import { watches } from './watches/watches.ts';

const scenarios: Readonly<Record<string, () => Promise<Result[]>>> = {
  commands: () => commands(5),
  log: () => log(4),
  replay,
  emmett: () => emmett(Number(process.env['BENCH_EMMETT_EVENTS'] ?? 30_000)),
  eventstoredb: () => eventstoredb(4, 200_000),
  watches,
  rebuild: () => rebuild(Number(process.env['BENCH_EVENTS'] ?? 150_000)),
  snapshots: () => snapshots(10_000),
  year: realYear,
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in scenarios));
if (unknown.length > 0) {
  throw new Error(
    `there is no scenario ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}`,
  );
}

const machine = {
  node: process.version,
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  platform: `${process.platform} ${process.arch}`,
};
console.log(`${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, Node ${machine.node}`);

const form = (value: number): string =>
  value >= 1_000 ? Math.round(value).toLocaleString('en-GB') : value.toFixed(value < 10 ? 2 : 1);
const reports: unknown[] = [];
for (const [scenario, run] of Object.entries(scenarios)) {
  if (chosen.length > 0 && !chosen.includes(scenario)) continue;
  const loadBefore = loadavg()[0];
  const results = await run();
  for (const { name, value, unit, peer, note } of results) {
    const ratio = peer
      ? `  ${((100 * value) / peer.value).toFixed(0)} % of ${peer.name} (${form(peer.value)} ${peer.unit})`
      : '';
    console.log(
      `${name.padEnd(72)} ${form(value).padStart(9)} ${unit}${ratio}${note === undefined ? '' : `  ${note}`}`,
    );
  }
  reports.push({ scenario, loadBefore, results });
}

const folder = join(import.meta.dirname, '../../bench/results');
mkdirSync(folder, { recursive: true });
const at = new Date().toISOString().replaceAll(':', '-');
const file = join(folder, `${at}.json`);
writeFileSync(file, `${JSON.stringify({ at, machine, reports }, undefined, 2)}\n`);
console.log(`raw figures in ${file}`);
