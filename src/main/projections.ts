/** `tallyback projections …`: how the read models are, and what operators do to them. */
import type { ServerConfiguration } from '../operations/configuration.ts';
import { OperatorRefused } from '../projections/engine/operator.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import { type Desk, modelOf, withDesk } from './projections-desk.ts';
import { followBuild } from './projections-follow.ts';
import { listProjections } from './projections-list.ts';
import { parkedCommand } from './projections-parked.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface ProjectionFlags {
  readonly dryRun: boolean;
  readonly detach: boolean;
}

type Action = (desk: Desk, model: ReadModel, flags: ProjectionFlags) => Promise<number>;

/** Exit code: 0 as wished, 1 when somebody has to look: a difference, a failure. */
export async function projections(
  args: readonly string[],
  flags: ProjectionFlags,
  configuration: ServerConfiguration,
  terminal: Terminal,
): Promise<number> {
  const command = commandOf(args, flags);
  return withDesk(configuration, terminal, async (desk) => {
    try {
      return await command(desk);
    } catch (error) {
      if (!(error instanceof OperatorRefused)) throw error;
      terminal.log(error.message);
      return 1;
    }
  });
}

/** Throws UsageError, before anything is started. */
function commandOf(args: readonly string[], flags: ProjectionFlags): (desk: Desk) => Promise<number> {
  const [verb = '', name, ...rest] = args;
  if (verb !== 'rebuild' && flags.dryRun) throw new UsageError('--dry-run belongs to projections rebuild');
  if (verb === 'list' && args.length === 1) return listProjections;
  if (verb === 'parked') return parkedCommand(args.slice(1));
  const action = actions.get(verb);
  if (!action || name === undefined || rest.length > 0) throw wrongUse();
  const model = modelOf(name);
  return (desk) => action(desk, model, flags);
}

const wrongUse = (): UsageError =>
  new UsageError(
    'projections takes list, rebuild NAME, pause|resume|cancel|accept|rollback NAME, or parked list|show|retry|drop',
  );

const actions: ReadonlyMap<string, Action> = new Map<string, Action>([
  [
    'rebuild',
    async (desk, model, flags) =>
      begun(desk, model, await desk.operator.rebuild(model, flags, desk.who), flags),
  ],
  [
    'pause',
    async (desk, model) => {
      const number = await building(desk, model);
      await desk.operator.wish(model, number, 'pause', desk.who);
      desk.terminal.print(`${model.name}/${number} is paused: "projections resume ${model.name}".`);
      return 0;
    },
  ],
  [
    'resume',
    async (desk, model, flags) => {
      const number = await building(desk, model);
      await desk.operator.wish(model, number, 'run', desk.who);
      return begun(desk, model, number, flags);
    },
  ],
  [
    'cancel',
    async (desk, model, flags) => {
      const number = await building(desk, model);
      await desk.operator.wish(model, number, 'cancel', desk.who);
      return begun(desk, model, number, flags);
    },
  ],
  [
    'accept',
    async (desk, model, flags) => {
      const number = await building(desk, model);
      await desk.operator.accept(model, number, desk.who);
      return begun(desk, model, number, flags);
    },
  ],
  [
    'rollback',
    async (desk, model, flags) => begun(desk, model, await desk.operator.rollback(model, desk.who), flags),
  ],
]);

/** Number of the generation that is being built. */
async function building({ operator }: Desk, model: ReadModel): Promise<number> {
  const reports = await operator.generations();
  const found = reports.find(
    (one) => one.model === model.name && one.version === model.version && one.state === 'building',
  );
  if (found) return found.number;
  throw new OperatorRefused('NOT_FOUND', `no generation of ${model.name} is being built`);
}

/** It is for instances to do now: this process is one, unless it is to be left to the servers. */
async function begun(
  desk: Desk,
  model: ReadModel,
  number: number,
  { detach }: ProjectionFlags,
): Promise<number> {
  if (!detach) return followBuild(desk, model, number);
  desk.terminal.print(
    `${model.name}/${number} is left to the servers: see "projections list". One that starts takes it up, too.`,
  );
  return 0;
}
