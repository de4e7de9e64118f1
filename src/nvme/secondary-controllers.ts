/** Secondary controllers of an NVMe controller with SR-IOV: one for each virtual function, of use once it has queues, vectors and is online. */
import { KernelError } from '../errors.ts';
import { loadAddon } from '../native/load.ts';

/** NVM Express Base Specification 2.0, figure 286: Secondary Controller Entry. */
export interface SecondaryController {
  /** Secondary Controller Identifier. */
  readonly id: number;
  readonly online: boolean;
  /** Of the virtual function, from 1. */
  readonly vf: number;
  readonly queues: number;
  readonly vectors: number;
}

const listBytes = 4096;
const entryBytes = 32;
/** Identify, figure 273: CNS 15h is the Secondary Controller List. */
const identify = { opcode: 0x06, secondaryControllers: 0x15 } as const;
/** Virtualization Management, 5.22. */
const management = { opcode: 0x1c, offline: 7, assign: 8, online: 9, queues: 0, vectors: 1 } as const;

/** Runs one administration command. @returns the completion's status */
export type Admin = (opcode: number, cdw10: number, cdw11: number, data: Uint8Array) => number;

/** @param path /dev/nvme0 */
export function adminOf(path: string): Admin {
  return (opcode, cdw10, cdw11, data) =>
    KernelError.guard(() => loadAddon().nvmeAdmin(path, opcode, cdw10, cdw11, data));
}

/** A command that the controller refused. */
export class NvmeStatusError extends Error {
  override readonly name = 'NvmeStatusError';
  readonly code = 'ERR_VTKIT_NVME_STATUS';
  readonly status: number;
  constructor(operation: string, status: number) {
    const meaning = meanings[status & 0x7ff];
    super(`${operation}: NVMe status 0x${(status & 0x7ff).toString(16)}${meaning === undefined ? '' : `, ${meaning}`}`);
    this.status = status & 0x7ff;
  }
}

/** Status codes of Virtualization Management (5.22.1), with their type in bits 8 to 10. */
const meanings: Readonly<Record<number, string>> = {
  1: 'the controller does not have the command',
  287: 'no such controller',
  288: 'the secondary controller is not in the state for this: it needs queues and vectors, and its virtual function enabled',
  289: 'more queues or vectors than are left',
  290: 'no such resource',
};

export function secondaryControllers(admin: Admin): SecondaryController[] {
  const data = new Uint8Array(listBytes);
  const status = admin(identify.opcode, identify.secondaryControllers, 0, data);
  if (status !== 0) throw new NvmeStatusError('Identify, Secondary Controller List', status);
  return decodeSecondaryControllers(data);
}

export function decodeSecondaryControllers(data: Uint8Array): SecondaryController[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const fitting = Math.floor(data.length / entryBytes) - 1;
  const count = Math.max(0, Math.min(data[0] ?? 0, fitting));
  return Array.from({ length: count }, (_, index) => {
    const at = entryBytes * (index + 1);
    return {
      id: view.getUint16(at, true),
      online: (view.getUint8(at + 4) & 1) !== 0,
      vf: view.getUint16(at + 8, true),
      queues: view.getUint16(at + 10, true),
      vectors: view.getUint16(at + 12, true),
    };
  });
}

/** Gives an offline controller its queues and vectors, and puts it online. */
export function bringOnline(admin: Admin, id: number, { queues, vectors }: { queues: number; vectors: number }): void {
  manage(admin, id, management.assign, management.queues, queues);
  manage(admin, id, management.assign, management.vectors, vectors);
  manage(admin, id, management.online, 0, 0);
}

export const takeOffline = (admin: Admin, id: number): void => manage(admin, id, management.offline, 0, 0);

function manage(admin: Admin, id: number, action: number, resource: number, count: number): void {
  const status = admin(management.opcode, action | (resource << 8) | (id << 16), count, new Uint8Array());
  if (status !== 0) throw new NvmeStatusError(`Virtualization Management of controller ${id}`, status);
}
