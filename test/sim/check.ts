/** Runs a seed, and tells all there is to tell about one that fails. */
import type { PlantedBug, RunOptions } from './options.ts';
import { run } from './run.ts';

/** Undefined: nothing is wrong. */
export async function check(
  seed: number,
  change?: Partial<RunOptions>,
  bug?: PlantedBug,
): Promise<string | undefined> {
  const { violations, options, lines, time } = await run(seed, change, bug);
  if (violations.length === 0) return undefined;
  return [
    ...violations.slice(0, 5),
    `after ${Math.round(time)} ms; seed ${seed} stands for ${JSON.stringify(options)}`,
    ...lines.slice(-60),
  ].join('\n');
}
