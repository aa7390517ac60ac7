/** `tallyback projections parked list | show | retry | drop`. */
import { formatPosition } from '../eventstore/port.ts';
import { OperatorRefused, type ParkedScope } from '../projections/engine/operator.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import { type Desk, modelOf } from './projections-desk.ts';
import { UsageError } from './usage.ts';

/** Throws UsageError, before anything is started. */
export function parkedCommand(args: readonly string[]): (desk: Desk) => Promise<number> {
  const [verb, name, scope, ...rest] = args;
  const model = name === undefined ? undefined : modelOf(name);
  if (rest.length > 0 || verb === undefined || !verbs.includes(verb)) {
    throw new UsageError(`projections parked takes ${verbs.join(', ')}, then NAME and SCOPE`);
  }
  if (verb === 'list') return (desk) => list(desk, model, scope);
  if (!model) throw new UsageError(`projections parked ${verb} takes the NAME of a read model`);
  if (verb === 'show') return (desk) => show(desk, model, scope);
  if (verb === 'retry') return (desk) => retry(desk, model, scope);
  // For good: so never more than what was named.
  if (scope === undefined) throw new UsageError('projections parked drop takes NAME and SCOPE');
  return (desk) => drop(desk, model, scope);
}

const verbs = ['list', 'show', 'retry', 'drop'];

async function scopesOf(
  { operator, terminal }: Desk,
  model: ReadModel | undefined,
  scope: string | undefined,
): Promise<readonly ParkedScope[]> {
  const all = await operator.parked(model);
  const scopes = all.filter((one) => scope === undefined || one.scope === scope);
  if (scopes.length === 0) terminal.print(`Nothing is parked${scope === undefined ? '' : ` in ${scope}`}.`);
  return scopes;
}

async function list(desk: Desk, model: ReadModel | undefined, scope: string | undefined): Promise<number> {
  for (const one of await scopesOf(desk, model, scope)) desk.terminal.print(summary(one));
  return 0;
}

const summary = ({ model, generation, scope, events, first, parkedAt }: ParkedScope): string =>
  `${model}/${generation} ${scope}  ${events} ${events === 1n ? 'event' : 'events'} since ${parkedAt.toISOString()}\n` +
  `    ${first.type} at ${formatPosition(first.position)}: ${first.error ?? 'waits for another'}`;

async function show(desk: Desk, model: ReadModel, scope: string | undefined): Promise<number> {
  const { operator, terminal } = desk;
  for (const one of await scopesOf(desk, model, scope)) {
    terminal.print(`${one.model}/${one.generation} ${one.scope}`);
    for (const event of await operator.parkedEvents(model, one.generation, one.scope)) {
      const { stream, revision, type, position, error, stack } = event;
      const why = error === undefined ? '' : `\n    ${error}\n${indented(stack ?? '')}`;
      terminal.print(`  ${formatPosition(position)}  ${type}, event ${revision} of ${stream}${why}`);
    }
  }
  return 0;
}

const indented = (text: string): string => text.replaceAll(/^/gm, '    ');

/** Exit code: 1 if something still cannot be folded. */
async function retry(desk: Desk, model: ReadModel, scope: string | undefined): Promise<number> {
  const scopes = await scopesOf(desk, model, scope);
  let failed = 0;
  // The same scope may be parked in what serves and in what is being built; only the former can be put right.
  for (const name of new Set(scopes.map((one) => one.scope))) {
    try {
      const events = await desk.operator.retryParked(model, name, desk.who);
      desk.terminal.print(`${name}: ${events} ${events === 1 ? 'event is' : 'events are'} folded.`);
    } catch (error) {
      if (!(error instanceof OperatorRefused)) throw error;
      failed++;
      desk.terminal.print(`${name}: ${error.message}`);
    }
  }
  return failed > 0 ? 1 : 0;
}

async function drop({ operator, terminal, who }: Desk, model: ReadModel, scope: string): Promise<number> {
  const events = await operator.dropParked(model, scope, who);
  terminal.print(`${scope}: ${events} ${events === 1 ? 'event is' : 'events are'} left out for good.`);
  return 0;
}
