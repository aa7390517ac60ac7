/** The demo's last word: what was checked, and whether it was equal. */
import { grouped } from '../client/text.ts';
import type { CheckResult } from './check.ts';
import { padTo, type Style } from './screen.ts';

export function checkLines({ events, comparisons, equal }: CheckResult, s: Style): string[] {
  const lines = [s.bold(`Checked against a recomputation from the log (${grouped(events)} events)`)];
  for (const { name, rows, different, examples } of comparisons) {
    const verdict = different === 0 ? s.good('equal') : s.warn(`${grouped(different)} DIFFERENT`);
    lines.push(`  checked ${grouped(rows).padStart(7)} rows of ${padTo(`${name}:`, 22)}${verdict}`);
    for (const example of examples) lines.push(...example.split('\n').map((line) => `      ${line}`));
  }
  lines.push(equal ? s.good('Everything is equal.') : s.warn('NOT EQUAL: this is a bug.'));
  return lines;
}
