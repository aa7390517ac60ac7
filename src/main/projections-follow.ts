/**
 * Shows how a generation is built, to the end, and takes part in it: there may be no server that would.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { formatPosition } from '../eventstore/port.ts';
import { instanceId } from '../operations/timing.ts';
import { startProjections } from '../projections/engine/engine.ts';
import { type GenerationReport, isUnderWay } from '../projections/engine/operator.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import type { Comparison } from '../projections/engine/storage.ts';
import { progressLine } from './progress-line.ts';
import type { Desk } from './projections-desk.ts';

const lookMs = 250;

/** Exit code: 0 when it has gone as was wished, or goes on elsewhere; 1 when somebody has to look. */
export async function followBuild(desk: Desk, model: ReadModel, number: number): Promise<number> {
  const { store, storage, terminal, configuration } = desk;
  const helper = await startProjections({
    store,
    storage,
    models: [model],
    instance: instanceId(),
    // What serves is left to the servers.
    leads: (one) => one.model === model.name && one.number === number && one.state === 'building',
    rebuildEventsPerSecond: configuration.rebuildEventsPerSecond,
    log: terminal.log,
  });
  const line = progressLine(terminal.out);
  let report: GenerationReport;
  try {
    for (;;) {
      report = await look(desk, model, number);
      line.show(await progress(desk, report));
      if (terminal.signal.aborted || !isUnderWay(report)) break;
      await delay(lookMs, undefined, { signal: terminal.signal }).catch(() => undefined);
    }
  } finally {
    line.end();
    await helper.stop();
  }
  return isUnderWay(report) ? leave(desk, await look(desk, model, number)) : conclude(desk, report);
}

async function look({ operator }: Desk, model: ReadModel, number: number): Promise<GenerationReport> {
  const report = await operator.generation(model.name, number);
  if (!report) throw new Error(`${model.name}/${number} is gone`);
  return report;
}

async function progress({ store }: Desk, report: GenerationReport): Promise<string> {
  const { model, number, stage, position, events, eventsPerSecond, remainingSeconds } = report;
  const rate = eventsPerSecond === undefined ? '' : `, ${Math.round(eventsPerSecond)}/s`;
  const left = remainingSeconds === undefined ? '' : `, ${Math.ceil(remainingSeconds)} s left`;
  const way = `${formatPosition(position)} of ${formatPosition(await store.head())}`;
  return `${model}/${number}  ${stage}  ${way}  ${events} events${rate}${left}`;
}

/** The user goes before it is over. */
function leave({ terminal }: Desk, { model, number, able }: GenerationReport): number {
  if (able.length > 0) {
    terminal.print(`${model}/${number} goes on in ${able.join(', ')}.`);
    return 0;
  }
  terminal.print(
    `Stopped: no server runs. ${model}/${number} goes on from where it is when one does, or with ` +
      `"projections resume ${model}".`,
  );
  return 1;
}

function conclude({ terminal }: Desk, report: GenerationReport): number {
  const { model, number, state, stage, wish, dryRun, failure, report: verified } = report;
  const name = `${model}/${number}`;
  const comparison = verified?.comparison;
  if (comparison) terminal.print(verification(comparison));
  if (state === 'serving' || state === 'kept') {
    terminal.print(`${name} serves${comparison ? '' : '; there was nothing to compare it with'}.`);
    return 0;
  }
  if (state === 'dropped') {
    terminal.print(wish === 'cancel' ? `${name} is dropped.` : `${name} was a dry run, and is dropped.`);
    return wish !== 'cancel' && dryRun && comparison && comparison.differences > 0n ? 1 : 0;
  }
  if (stage === 'differs') {
    terminal.print(
      `${name} differs from what serves, and waits: "projections accept ${model}" or "projections cancel ${model}".`,
    );
  } else if (wish === 'pause') {
    terminal.print(`${name} is paused: "projections resume ${model}".`);
  } else {
    const where = failure?.at ? ` at event ${formatPosition(failure.at)}` : '';
    terminal.print(`${name} has FAILED${where}: ${failure?.error ?? stage}\n${failure?.stack ?? ''}`);
  }
  return 1;
}

function verification({ rows, checksum, differences, examples, through }: Comparison): string {
  const lines = [
    `Compared through ${formatPosition(through)}:`,
    `  rows       ${rows.before} served, ${rows.after} built`,
    `  checksums  ${checksum.before} served, ${checksum.after} built`,
    `  different  ${differences}`,
  ];
  for (const { key, before, after } of examples) {
    lines.push(`    ${key}`, `      served ${before ?? 'nothing'}`, `      built  ${after ?? 'nothing'}`);
  }
  return lines.join('\n');
}
