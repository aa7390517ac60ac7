/** Read models folded anew, and parked events put right, over gRPC. */
import { ProjectionAdminServiceService as methods } from '../../gen/tallyback/admin/v1/projection_admin_service.ts';
import { isUnderWay, OperatorRefused } from '../../projections/engine/operator.ts';
import type { ReadModel } from '../../projections/engine/read-model.ts';
import type { Wish } from '../../projections/engine/storage.ts';
import { readModels } from '../../projections/index.ts';
import type { StreamCall } from '../call.ts';
import type { ApiContext } from '../context.ts';
import { pause } from '../edges.ts';
import { type ApiError, refused } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { generationMessage, parkedEventMessage, parkedScopeMessage } from './messages.ts';

/** Between two looks at a rebuild. */
const lookMs = 500;
/** Of scopes and events in an answer. */
const most = 1_000;

interface Subject {
  readonly projection: string;
  readonly generation: number;
}

export function projectionAdminService(context: ApiContext): BoundService {
  const { rpc, operator, head, tokens } = context;

  const wish =
    (wished: Wish) =>
    async ({ projection, generation, operator: who }: Subject & { readonly operator: string }) => {
      await said(() => operator.wish(modelOf(projection), generation, wished, who));
      return {};
    };

  async function watchRebuild({ projection, generation }: Subject, call: StreamCall): Promise<void> {
    let last: Buffer | undefined;
    for (;;) {
      // The end of the log first: what is read after it can only be further.
      const end = await head();
      const report = await operator.generation(modelOf(projection).name, generation);
      if (!report) throw notFound('SUBJECT_NOT_FOUND', `there is no ${projection}/${generation}`);
      call.ending.throwIfOver();
      const message = methods.watchRebuild.responseSerialize({
        generation: generationMessage(report, end, context),
        headToken: tokens.encode(end),
      });
      if (!last?.equals(message) && !call.write(message))
        await call.ending.during((signal) => call.room(signal));
      last = message;
      if (!isUnderWay(report)) return;
      await call.ending.during((signal) => pause(lookMs, signal));
      call.ending.throwIfOver();
    }
  }

  return bindService(methods, {
    listProjections: rpc.unary(methods.listProjections, async () => {
      const end = await head();
      const reports = await operator.generations();
      return {
        generations: reports.map((report) => generationMessage(report, end, context)),
        headToken: tokens.encode(end),
      };
    }),

    startRebuild: rpc.unary(methods.startRebuild, async ({ projection, dryRun, operator: who }) => ({
      generation: await said(() => operator.rebuild(modelOf(projection), { dryRun }, who)),
    })),
    watchRebuild: rpc.serverStream(methods.watchRebuild, watchRebuild),
    pauseRebuild: rpc.unary(methods.pauseRebuild, wish('pause')),
    resumeRebuild: rpc.unary(methods.resumeRebuild, wish('run')),
    cancelRebuild: rpc.unary(methods.cancelRebuild, wish('cancel')),
    acceptRebuild: rpc.unary(methods.acceptRebuild, async ({ projection, generation, operator: who }) => {
      await said(() => operator.accept(modelOf(projection), generation, who));
      return {};
    }),
    rollback: rpc.unary(methods.rollback, async ({ projection, operator: who }) => ({
      generation: await said(() => operator.rollback(modelOf(projection), who)),
    })),

    listParked: rpc.unary(methods.listParked, async ({ projection }) => {
      const scopes = await operator.parked(projection === '' ? undefined : modelOf(projection));
      return {
        scopes: scopes.slice(0, most).map((scope) => parkedScopeMessage(scope, context)),
        scopeCount: BigInt(scopes.length),
      };
    }),
    listParkedEvents: rpc.unary(methods.listParkedEvents, async ({ projection, generation, scope }) => {
      const events = await operator.parkedEvents(modelOf(projection), generation, scope);
      return {
        events: events.slice(0, most).map((event) => parkedEventMessage(event, context)),
        eventCount: BigInt(events.length),
      };
    }),
    retryParked: rpc.unary(methods.retryParked, async ({ projection, scope, operator: who }) => ({
      events: BigInt(await said(() => operator.retryParked(modelOf(projection), scope, who))),
    })),
    dropParked: rpc.unary(methods.dropParked, async ({ projection, scope, operator: who }) => ({
      events: BigInt(await said(() => operator.dropParked(modelOf(projection), scope, who))),
    })),
  });
}

function modelOf(name: string): ReadModel {
  const model = readModels.find((one) => one.name === name);
  if (model) return model;
  const names = readModels.map((one) => one.name).join(', ');
  throw notFound('PROJECTION_NOT_FOUND', `there is no projection "${name}"; there are ${names}`);
}

const notFound = (reason: string, message: string): ApiError =>
  refused({ class: 'not-found', reason, message }, 'projection');

/** A refusal as the client may see it. */
async function said<R>(action: () => Promise<R>): Promise<R> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof OperatorRefused)) throw error;
    const { reason, message } = error;
    if (reason === 'NOT_FOUND') throw notFound('SUBJECT_NOT_FOUND', message);
    throw refused({ class: 'precondition', reason, message }, 'projection');
  }
}
