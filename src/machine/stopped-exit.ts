/** The exit of a vCPU that stands between two instructions, read from its cell. */
import { getSystemErrorMap } from 'node:util';
import { KernelError } from '../errors.ts';
import type { Cell } from './cell.ts';
import { type Exit, exitKind, type InterruptedExit } from './exits.ts';

const interruptFlag = 0x200n;

/** @throws KernelError if a system call of the run failed */
export function stoppedExit(cell: Cell, by: InterruptedExit['by']): Exit {
  switch (cell.exitKind) {
    case exitKind.halt:
      return { kind: 'halt', interruptible: ((cell.regs[17] as bigint) & interruptFlag) !== 0n };
    case exitKind.shutdown:
      return { kind: 'shutdown' };
    case exitKind.debug:
      return {
        kind: 'debug',
        exception: cell.exitReason,
        pc: cell.exitDetail(0),
        dr6: cell.exitDetail(1),
        dr7: cell.exitDetail(2),
      };
    case exitKind.failedEntry:
      return { kind: 'failed-entry', reason: cell.exitDetail(0) };
    case exitKind.internalError: {
      const words = Math.min(cell.exitCount, 16);
      return {
        kind: 'internal-error',
        suberror: cell.exitReason,
        data: Array.from({ length: words }, (_, i) => cell.item(i, 8)),
      };
    }
    case exitKind.systemEvent:
      return { kind: 'system-event', type: cell.exitReason, data: cell.exitDetail(0) };
    case exitKind.unknownInstruction:
      return {
        kind: 'unknown-instruction',
        rip: cell.exitRip,
        linear: cell.exitAddress,
        bytes: cell.data.slice(0, cell.exitSize),
      };
    case exitKind.vmExit:
      return { kind: 'vm-exit', error: cell.exitReason };
    case exitKind.failed:
      throw failure(cell);
    case exitKind.unsupported:
      return { kind: 'unsupported', reason: cell.exitReason };
    default:
      return { kind: 'interrupted', by };
  }
}

function failure(cell: Cell): KernelError {
  const end = cell.data.indexOf(0);
  const operation = new TextDecoder().decode(cell.data.subarray(0, Math.max(end, 0)));
  const number = cell.exitReason;
  const [code, message] = systemErrorName(number);
  return new KernelError(`${code}: ${message}, ${operation}`, { code, errno: -number, syscall: 'ioctl', operation });
}

function systemErrorName(errno: number): readonly [string, string] {
  return getSystemErrorMap().get(-errno) ?? [`E${errno}`, `error ${errno}`];
}
