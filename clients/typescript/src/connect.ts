/** A connection to Tallyback: everything that its services offer, under the names of what they are about. */
import type { ChannelCredentials, ChannelOptions, ClientDuplexStream } from '@grpc/grpc-js';
import { openChannels } from './channels.ts';
import { readError } from './errors.ts';
import { AccountCommandServiceDefinition as accountCommands } from './gen/tallyback/account/v1/account_command_service.ts';
import {
  AccountQueryServiceDefinition as accountQueries,
  type Balance,
  type StatementEntry,
} from './gen/tallyback/account/v1/account_query_service.ts';
import {
  ProjectionAdminServiceDefinition as projectionAdmin,
  type WatchRebuildResponse,
} from './gen/tallyback/admin/v1/projection_admin_service.ts';
import {
  FiguresQueryServiceDefinition as figuresQueries,
  type LeaderboardRemoval,
  type LeaderboardRow,
  type Window,
} from './gen/tallyback/figures/v1/figures_query_service.ts';
import {
  type IngestRequest,
  type IngestResponse,
  IngestServiceDefinition as ingestService,
} from './gen/tallyback/ingest/v1/ingest_service.ts';
import { ItemCommandServiceDefinition as itemCommands } from './gen/tallyback/item/v1/item_command_service.ts';
import {
  ItemQueryServiceDefinition as itemQueries,
  type Stock,
} from './gen/tallyback/item/v1/item_query_service.ts';
import { OrderCommandServiceDefinition as orderCommands } from './gen/tallyback/order/v1/order_command_service.ts';
import {
  type Order,
  OrderQueryServiceDefinition as orderQueries,
  type OrderRemoval,
} from './gen/tallyback/order/v1/order_query_service.ts';
import { ProgrammeCommandServiceDefinition as programmeCommands } from './gen/tallyback/programme/v1/programme_command_service.ts';
import { ProgrammeQueryServiceDefinition as programmeQueries } from './gen/tallyback/programme/v1/programme_query_service.ts';
import { SystemServiceDefinition as systemService } from './gen/tallyback/system/v1/system_service.ts';
import { type CallOptions, type Invoke, type RequestOf, type UnaryMethods, unaryMethods } from './methods.ts';
import { Session, type SessionOptions, type WatchCallOptions } from './session.ts';
import * as forms from './watch/forms.ts';
import type { Watch } from './watch/watch.ts';

export interface ConnectOptions extends SessionOptions {
  /** Default: none, over plain HTTP/2. */
  readonly credentials?: ChannelCredentials;
  /** Of grpc-js, beside and over those that are set. */
  readonly channelOptions?: ChannelOptions;
}

/** Opens a watch. Nothing but what is wrong with the request can make it fail for good. */
type Watching<Request, Row, Removed = never> = (
  request?: Request,
  options?: WatchCallOptions,
) => Watch<Row, Removed>;

type AccountQueries = (typeof accountQueries)['methods'];
type FiguresQueries = (typeof figuresQueries)['methods'];
type ItemQueries = (typeof itemQueries)['methods'];
type OrderQueries = (typeof orderQueries)['methods'];
type ProjectionAdmin = (typeof projectionAdmin)['methods'];

/** All calls, as one session: queries and watches show what its commands did. */
export interface TallybackSession {
  readonly accounts: UnaryMethods<typeof accountCommands> &
    UnaryMethods<typeof accountQueries> & {
      /** Keys: "ann/GBP". */
      readonly watchBalances: Watching<RequestOf<AccountQueries['watchBalances']>, Balance>;
      /** Every entry comes once and in order. Keys: "ann/GBP/12", with the revision. */
      readonly watchStatement: Watching<RequestOf<AccountQueries['watchStatement']>, StatementEntry>;
    };
  readonly orders: UnaryMethods<typeof orderCommands> &
    UnaryMethods<typeof orderQueries> & {
      /** Keys: "awin/4711", source and external id. */
      readonly watchOrders: Watching<RequestOf<OrderQueries['watchOrders']>, Order, OrderRemoval>;
    };
  readonly items: UnaryMethods<typeof itemCommands> &
    UnaryMethods<typeof itemQueries> & {
      /** Keys: "shop/mug", merchant and SKU. */
      readonly watchStock: Watching<RequestOf<ItemQueries['watchStock']>, Stock>;
    };
  readonly figures: UnaryMethods<typeof figuresQueries> & {
    /** Keys: "shop/GBP/2026-03-01T00:00:00.000Z", merchant, currency and start. */
    readonly watchWindows: Watching<RequestOf<FiguresQueries['watchWindows']>, Window>;
    /** Keys: "ann/GBP", subject and currency. */
    readonly watchLeaderboard: Watching<
      RequestOf<FiguresQueries['watchLeaderboard']>,
      LeaderboardRow,
      LeaderboardRemoval
    >;
  };
  readonly programmes: UnaryMethods<typeof programmeCommands> & UnaryMethods<typeof programmeQueries>;
  readonly ingest: UnaryMethods<typeof ingestService> & {
    /** The stream as grpc-js has it: request ids, repeats and errors are the caller's. */
    readonly ingest: () => ClientDuplexStream<IngestRequest, IngestResponse>;
  };
  readonly projections: UnaryMethods<typeof projectionAdmin> & {
    /** Ends with the rebuild, or with what went wrong. */
    readonly watchRebuild: (
      request: RequestOf<ProjectionAdmin['watchRebuild']>,
    ) => AsyncIterable<WatchRebuildResponse>;
  };
  /** Asked for as it is: what the session did is not added. */
  readonly system: UnaryMethods<typeof systemService>;

  /** A token that everything this session did is within, for another session. Empty: it has done nothing yet. */
  position(options?: CallOptions): Promise<string>;
  /** Reads of this session show that too from now on. */
  adopt(positionToken: string): void;
}

export interface Tallyback extends TallybackSession {
  /** Another session on the same connections, such as one for each user. It knows nothing of this one. */
  session(options?: SessionOptions): TallybackSession;
  /** Closes all watches, of all sessions, and the connections. Calls that are under way still have their answer. */
  close(): void;
}

function openSession(session: Session): TallybackSession {
  const invoke: Invoke = (...call) => session.invoke(...call);
  const asIs: Invoke = (path, method, request, options) =>
    session.invoke(path, method, request, options, true);
  const { watchBalances, watchStatement } = accountQueries.methods;
  const { watchOrders } = orderQueries.methods;
  const { watchStock } = itemQueries.methods;
  const { watchWindows, watchLeaderboard } = figuresQueries.methods;
  return {
    accounts: {
      ...unaryMethods(accountCommands, invoke),
      ...unaryMethods(accountQueries, invoke),
      watchBalances: (request = {}, options) =>
        session.watch(accountQueries, watchBalances, forms.balances, request, options),
      watchStatement: (request = {}, options) =>
        session.watch(accountQueries, watchStatement, forms.statement, request, options),
    },
    orders: {
      ...unaryMethods(orderCommands, invoke),
      ...unaryMethods(orderQueries, invoke),
      watchOrders: (request = {}, options) =>
        session.watch(orderQueries, watchOrders, forms.orders, request, options),
    },
    items: {
      ...unaryMethods(itemCommands, invoke),
      ...unaryMethods(itemQueries, invoke),
      watchStock: (request = {}, options) =>
        session.watch(itemQueries, watchStock, forms.stock, request, options),
    },
    figures: {
      ...unaryMethods(figuresQueries, invoke),
      watchWindows: (request = {}, options) =>
        session.watch(figuresQueries, watchWindows, forms.windows, request, options),
      watchLeaderboard: (request = {}, options) =>
        session.watch(figuresQueries, watchLeaderboard, forms.leaderboard, request, options),
    },
    programmes: { ...unaryMethods(programmeCommands, invoke), ...unaryMethods(programmeQueries, invoke) },
    ingest: {
      ...unaryMethods(ingestService, invoke),
      ingest: () => session.duplex(ingestService, ingestService.methods.ingest),
    },
    projections: {
      ...unaryMethods(projectionAdmin, invoke),
      watchRebuild: (request) => rebuild(session, request),
    },
    system: unaryMethods(systemService, asIs),
    position: (options) => session.position(options),
    adopt: (positionToken) => session.adopt(positionToken),
  };
}

async function* rebuild(
  session: Session,
  request: RequestOf<ProjectionAdmin['watchRebuild']>,
): AsyncGenerator<WatchRebuildResponse, void, undefined> {
  const stream = session.answers(projectionAdmin, projectionAdmin.methods.watchRebuild, request);
  stream.on('error', () => undefined);
  try {
    yield* stream;
  } catch (error) {
    throw readError(error);
  } finally {
    stream.cancel();
  }
}

/** Connects to a server at `host:port`, or at any other target of gRPC. Nothing is sent until the first call. */
export function connect(address: string, options: ConnectOptions = {}): Tallyback {
  const { credentials, channelOptions, ...defaults } = options;
  const channels = openChannels(address, credentials, channelOptions);
  return {
    ...openSession(new Session(channels, defaults)),
    session: (own = {}) => openSession(new Session(channels, { ...defaults, ...own })),
    close: () => channels.close(),
  };
}
