/** Where everything must be once nothing goes wrong any more. */
import { policyCheckpointName } from '../../src/application/policy-runner.ts';
import { comparePositions, formatPosition, type Position } from '../../src/eventstore/port.ts';
import { type Generation, leaseName } from '../../src/projections/engine/storage.ts';
import type { Process } from './cluster.ts';
import { Oracle } from './oracle.ts';
import type { World } from './world.ts';

/** By read model: the event before which it must stop. */
export type Stops = ReadonlyMap<string, Position>;

/** Once the log does not grow any more. */
export function stopsOf(world: World): Stops {
  const stops = new Map<string, Position>();
  for (const model of world.models()) {
    const at = Oracle.stopsAt(model, world.log);
    if (at) stops.set(model.name, at);
  }
  return stops;
}

/** What is not yet as it must be. */
export function unrest(world: World, processes: readonly Process[], stops: Stops): string | undefined {
  for (const generation of worked(world, processes)) {
    const why = unrestOf(generation, world, stops.get(generation.model));
    if (why !== undefined) return `${leaseName(generation)} ${why}`;
  }
  for (const policy of world.policies) {
    const name = policyCheckpointName(policy);
    const position = world.database.checkpoints.get(name)?.position;
    if (!position || comparePositions(position, world.log.end) < 0)
      return `${name} is at ${position && formatPosition(position)}`;
  }
  return unevenness(world, processes, stops);
}

/** Generations of versions that some process knows. */
const worked = ({ database }: World, processes: readonly Process[]): readonly Generation[] =>
  database.existing().filter(({ version }) => processes.some((process) => process.version === version));

function unrestOf(
  generation: Generation,
  { database, log }: World,
  stopsAt: Position | undefined,
): string | undefined {
  const { state, stage, wish } = generation;
  const { position, failure } = database.checkpoint(generation);
  if (state === 'kept') return undefined;
  if (stopsAt) {
    const stoppedAt = failure?.at;
    return stoppedAt && comparePositions(stoppedAt, stopsAt) === 0
      ? undefined
      : `has not stopped before ${formatPosition(stopsAt)}`;
  }
  if (failure) return `has failed: ${failure.error}`;
  if (state === 'building') return `is still being built: ${stage}, ${wish}`;
  return comparePositions(position, log.end) < 0
    ? `is at ${formatPosition(position)}, the log ends at ${formatPosition(log.end)}`
    : undefined;
}

/** Every serving generation is led, by one that lives, and nobody leads two more than another. */
function unevenness(world: World, processes: readonly Process[], stops: Stops): string | undefined {
  const loads = new Map(processes.map(({ id }) => [id, 0]));
  const { database, policies } = world;
  // Nobody keeps what stands still.
  const serving = worked(world, processes).filter((one) => one.state === 'serving' && !stops.has(one.model));
  for (const name of [...serving.map(leaseName), ...policies.map(policyCheckpointName)]) {
    const owner = database.checkpoints.get(name)?.owner;
    const load = owner === undefined ? undefined : loads.get(owner);
    if (load === undefined) return `${name} is led by nobody`;
    loads.set(owner, load + 1);
  }
  // Not everybody can take everything while there are two versions.
  if (new Set(processes.map(({ version }) => version)).size > 1) return undefined;
  const all = [...loads.values()];
  return Math.max(...all) - Math.min(...all) > 1 ? `leases are spread ${all.join(', ')}` : undefined;
}
