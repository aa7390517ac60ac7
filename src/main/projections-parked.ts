/** `tallyback projections parked list | show | retry | drop`. */
import { formatPosition } from '../eventstore/port.ts';
import { OperatorRefused, type ParkedScope } from '../projections/engine/operator.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import type { Desk } from './projections-desk.ts';
import { UsageError } from './usage.ts';

/** Exit code: 1 if something still cannot be folded. */
export async function parked(
  desk: Desk,
  verb: string | undefined,
  model: ReadModel | undefined,
  scope: string | undefined,
): Promise<number> {
  if (verb !== 'list' && !model)
    throw new UsageError(`projections parked ${verb} takes the name of a read model`);
  const scopes = (await desk.operator.parked(model)).filter(
    (one) => scope === undefined || one.scope === scope,
  );
  if (scope !== undefined && scopes.length === 0) {
    throw new OperatorRefused('NOT_FOUND', `nothing is parked in ${scope} of ${model?.name}`);
  }
  if (scopes.length === 0) desk.terminal.print('Nothing is parked.');
  switch (verb) {
    case 'list':
      for (const one of scopes) desk.terminal.print(summary(one));
      return 0;
    case 'show':
      for (const one of scopes) if (model) await show(desk, model, one);
      return 0;
    case 'retry':
      return model ? retry(desk, model, scopes) : 0;
    default:
      // For good: so never more than what was named.
      if (!model || scope === undefined) throw new UsageError('projections parked drop takes NAME and SCOPE');
      desk.terminal.print(
        `${await desk.operator.dropParked(model, scope, desk.who)} events are left out for good.`,
      );
      return 0;
  }
}

const summary = ({ model, generation, scope, events, first, parkedAt }: ParkedScope): string =>
  `${model}/${generation} ${scope}  ${events} ${events === 1n ? 'event' : 'events'} since ${parkedAt.toISOString()}\n` +
  `    ${first.type} at ${formatPosition(first.position)}: ${first.error ?? 'waits for another'}`;

async function show({ operator, terminal }: Desk, model: ReadModel, one: ParkedScope): Promise<void> {
  terminal.print(`${one.model}/${one.generation} ${one.scope}`);
  for (const event of await operator.parkedEvents(model, one.generation, one.scope)) {
    const { stream, revision, type, position, error, stack } = event;
    const why = error === undefined ? '' : `\n    ${error}\n${indented(stack ?? '')}`;
    terminal.print(`  ${formatPosition(position)}  ${type}, event ${revision} of ${stream}${why}`);
  }
}

const indented = (text: string): string => text.replaceAll(/^/gm, '    ');

async function retry(desk: Desk, model: ReadModel, scopes: readonly ParkedScope[]): Promise<number> {
  let failed = 0;
  // The same scope may be parked in what serves and in what is being built; only the former can be put right.
  for (const scope of new Set(scopes.map((one) => one.scope))) {
    try {
      const events = await desk.operator.retryParked(model, scope, desk.who);
      desk.terminal.print(`${scope}: ${events} ${events === 1 ? 'event is' : 'events are'} folded.`);
    } catch (error) {
      if (!(error instanceof OperatorRefused)) throw error;
      failed++;
      desk.terminal.print(`${scope}: ${error.message}`);
    }
  }
  return failed > 0 ? 1 : 0;
}
