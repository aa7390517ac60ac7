/** What the handlers of a node's calls share. */
import type { Metadata } from '@grpc/grpc-js';
import type { Calls } from './calls.ts';
import type { Fault, Faults, Occasion, Rule } from './faults.ts';
import type { EventLog } from './log.ts';
import { type Refusal, refusals } from './refusals.ts';

export interface Settings {
  readonly maxAppendSize: number;
  readonly slowConsumers: 'drop' | 'fall-back';
  readonly invalidPosition: 'unknown' | 'invalid-argument';
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
}

export interface Cluster {
  readonly log: EventLog;
  readonly faults: Faults;
  readonly calls: Calls;
  readonly settings: Settings;
  /** Cleared when the server closes. */
  readonly timers: Set<NodeJS.Timeout>;
  leader: number;
  readonly ports: readonly number[];
}

export class NodeContext {
  readonly cluster: Cluster;
  readonly index: number;
  /** Cuts the connection of a peer. */
  cut: (peer: string) => void = () => undefined;

  constructor(cluster: Cluster, index: number) {
    this.cluster = cluster;
    this.index = index;
  }

  /** Why a call on streams may not begin. */
  refusalOf(metadata: Metadata): Refusal | undefined {
    return this.accessRefusalOf(metadata) ?? this.leaderRefusalOf(metadata);
  }

  accessRefusalOf(metadata: Metadata): Refusal | undefined {
    const { credentials } = this.cluster.settings;
    if (!credentials) return undefined;
    const [given] = metadata.get('authorization');
    if (given === undefined) return refusals.accessDenied();
    const wanted = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
    return given === `Basic ${wanted}` ? undefined : refusals.unauthenticated();
  }

  leaderRefusalOf(metadata: Metadata): Refusal | undefined {
    const { leader, ports } = this.cluster;
    if (leader === this.index || metadata.get('requires-leader')[0] !== 'true') return undefined;
    return refusals.notLeader('127.0.0.1', ports[leader] ?? 0);
  }

  strike(occasion: Omit<Occasion, 'node'>): Rule | undefined {
    return this.cluster.faults.strike({ ...occasion, node: this.index });
  }

  /** Over before it began if the rule does not make anything wait. */
  pause(rule: Rule): Promise<void> | undefined {
    if (rule.fault.kind === 'hold') return rule.released;
    if (rule.fault.kind === 'delay') return this.delay(rule.fault.ms);
    return undefined;
  }

  /** Its timer does not outlive the server. */
  delay(ms: number): Promise<void> {
    const { timers } = this.cluster;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        timers.delete(timer);
        resolve();
      }, ms);
      timers.add(timer);
    });
  }
}

export interface FaultyCall {
  readonly getPeer: () => string;
  /** Undefined if the call has one answer, and cannot end without. */
  readonly end?: () => void;
  readonly refuse: (refusal: Refusal) => void;
}

/** Does to a call what a fault says that is no mere wait. Returns whether the call goes on. */
export function inflict(fault: Fault, node: NodeContext, call: FaultyCall): boolean {
  switch (fault.kind) {
    case 'hang':
      return false;
    case 'drop':
      node.cut(call.getPeer());
      return false;
    case 'end':
      call.end?.();
      return false;
    case 'refuse':
      call.refuse(fault.refusal);
      return false;
    case 'hold':
    case 'delay':
    case 'twice':
      return true;
  }
}
