/** The guests: what each proves, how it starts, and who says what it must print. */
import { readFileSync } from 'node:fs';

export interface Guest {
  readonly name: string;
  /** What the guest proves, as the end of a test's name. */
  readonly title: string;
  readonly entry: 'flat' | 'multiboot';
  /** `manual`: QEMU leaves these checks out, so the expectation is written from the SDM. */
  readonly witness: 'qemu' | 'manual';
  /** `apic`: local and I/O APICs, which the emulated backend always has; `model`: features that not every host has. */
  readonly needs: readonly ('long-mode' | 'pic-and-pit' | 'apic' | 'model')[];
  /** Processors: 1 unless given. */
  readonly cpus: number;
  /**
   * What a KVM without VT-x or AMD-V (one that interprets ring 0) cannot do here.
   *
   * What it prints instead stands in expected/software-kvm; anything else fails the test.
   */
  readonly softwareKvm?: string;
}

type Traits = Partial<Pick<Guest, 'witness' | 'needs' | 'softwareKvm' | 'cpus'>>;

const flat = (name: string, title: string, traits: Traits = {}): Guest => ({
  name,
  title,
  entry: 'flat',
  witness: 'qemu',
  needs: [],
  cpus: 1,
  ...traits,
});
const in32 = (name: string, title: string, traits: Traits = {}): Guest => ({
  ...flat(name, title, traits),
  entry: 'multiboot',
});
const in64 = (name: string, title: string, traits: Traits = {}): Guest =>
  in32(name, title, { needs: ['long-mode'], ...traits });

export const guests: readonly Guest[] = [
  flat('real-basics', 'forms addresses, calls far and keeps a stack in real mode'),
  flat('real-strings', 'moves, fills, scans and compares strings in real mode, wrapping at 64 KiB'),
  flat('real-interrupts', 'enters and leaves interrupts and faults through the real-mode vector table'),
  flat('real-timer', 'takes timer interrupts in real mode, waking from HLT', { needs: ['pic-and-pit'] }),
  flat('real-protected', 'goes from real mode to protected mode and back, keeping a large segment limit'),

  in32('entry', 'starts with what the multiboot specification promises'),
  in32('real-edge', 'finds the 8259s at the vectors of real mode, and is served an edge of a line that fell since', {
    needs: ['pic-and-pit'],
  }),
  in64('modes', 'passes through protected, 64-bit, compatibility, 16-bit and real mode, twice'),

  in32('exceptions-32', 'raises each exception of 32-bit mode with its error code and place', {
    softwareKvm: 'FNOP with CR0.TS set is an internal error instead of #NM',
  }),
  in64('exceptions-64', 'raises each exception of 64-bit mode with its error code and place', {
    softwareKvm: 'an opcode that 64-bit mode lacks (DAA) is an internal error instead of #UD',
  }),
  in32('checks-32', 'is held to segment limits and types and to reserved control bits', {
    witness: 'manual',
    softwareKvm: 'INT1 is an internal error, and a #UD with its gate not present a double fault',
  }),
  in64('checks-64', 'is refused non-canonical addresses, reserved bits of registers and of page-table entries', {
    witness: 'manual',
    softwareKvm: 'the upper half of CR0 is ignored',
  }),
  in32(
    'gates',
    'enters interrupt and trap gates, returns by IRET, and ends in a double fault when a fault cannot be delivered',
    {
      softwareKvm: 'INT n in protected mode is an internal error',
    },
  ),
  in32('rings', 'changes rings by IRET, interrupts and call gates, and has no privilege in ring 3', {
    softwareKvm: 'IRET in protected mode is an internal error',
  }),
  in64(
    'interrupt-stacks',
    'aligns the interrupt frame and takes the stack of the TSS and of its interrupt stack table',
    {
      softwareKvm: 'INT3 in ring 0 is an internal error',
    },
  ),
  in64('syscall', 'enters ring 0 by SYSCALL and leaves it by SYSRET', {
    softwareKvm: "selectors and flags read the host's after SYSCALL, and SYSRET faults",
  }),

  in32('segments', 'may load a segment register only with what the manual allows', {
    softwareKvm: 'a far jump to a system segment is an internal error',
  }),
  in32('descriptors', 'learns about descriptors by LAR, LSL, VERR, VERW and ARPL', {
    softwareKvm: 'LAR is an internal error',
  }),
  in64('far-64', 'jumps, calls and returns far in 64-bit mode, through compatibility code and a call gate', {
    softwareKvm: 'a far call through a call gate is an internal error',
  }),
  in32('stack-frames', 'keeps stack frames by ENTER, LEAVE, PUSHA and POPA, and loops', {
    softwareKvm: 'ENTER with a nesting level is an internal error',
  }),

  in32('paging-2level', 'maps 4 KiB and 4 MiB pages with two-level tables', { softwareKvm: 'paging needs long mode' }),
  in32('paging-pae', 'maps 4 KiB and 2 MiB pages with PAE tables', { softwareKvm: 'paging needs long mode' }),
  in64('paging-4level', 'maps 4 KiB and 2 MiB pages with four-level tables, up to the highest addresses'),
  in64('paging-5level', 'maps pages above 48 bits with five-level tables, and runs code there', {
    needs: ['long-mode', 'model'],
  }),
  in32('page-faults-32', 'gets page faults with error code and address under two-level tables', {
    softwareKvm: 'paging needs long mode',
  }),
  in64('page-faults-64', 'gets page faults of rings 0 and 3 for every reason four-level tables have'),

  in32('alu-arithmetic-32', 'adds, subtracts, compares and exchanges with the right flags in 32-bit mode'),
  in64('alu-arithmetic-64', 'adds, subtracts, compares and exchanges with the right flags in 64-bit mode'),
  in32('alu-shift-32', 'shifts and rotates with the right flags in 32-bit mode'),
  in64('alu-shift-64', 'shifts and rotates with the right flags in 64-bit mode'),
  in32('alu-multiply-32', 'multiplies, divides and extends in 32-bit mode'),
  in64('alu-multiply-64', 'multiplies, divides and extends in 64-bit mode'),
  in32('alu-bits-32', 'tests and scans bits, in registers and in bit strings, in 32-bit mode'),
  in64('alu-bits-64', 'tests and scans bits, in registers and in bit strings, in 64-bit mode'),
  in32('alu-decimal', 'adjusts decimal and ASCII digits', { softwareKvm: 'DAA is refused with #UD' }),

  in32('strings-32', 'runs each string instruction in each width and direction in 32-bit mode'),
  in64('strings-64', 'runs each string instruction in each width and direction in 64-bit mode'),
  in32('string-io', 'moves strings through ports'),
  in64('mmio', 'reads and writes addresses that nothing backs, in each width and form'),
  in64('device-operands', 'takes operands of every kind of instruction from the memory of a device', {
    witness: 'manual', // QEMU's translator takes a null selector of RPL 3 for SS; the rest it does too
    needs: ['long-mode', 'model'],
  }),
  in64('self-modifying', 'runs what it has just written over its own code'),

  in64('timer', 'takes timer interrupts through the 8259, masked and unmasked, and in the shadow of STI', {
    needs: ['long-mode', 'pic-and-pit'],
    softwareKvm: 'an interrupt window is seen at the next exit or after 1024 instructions, not behind STI',
  }),
  in64('alignment', 'is held to alignment in ring 3, where CR0.AM and AC ask for it', {
    witness: 'manual',
    softwareKvm: "CR0.AM of the guest is not the processor's",
  }),
  in64('vector-faults', 'is held to the control bits, alignment and exceptions of x87, MMX, SSE and AVX', {
    witness: 'manual',
    needs: ['long-mode', 'model'],
  }),
  in64('single-step', 'traps after each instruction under TF', {
    softwareKvm: 'REP traps once in all, and MOV SS does not hold a trap back',
  }),
  in64('breakpoints', 'stops before the instruction that a debug register names'),
  in64('data-breakpoints', 'stops behind the access that a debug register names', {
    witness: 'manual',
    softwareKvm: 'breakpoints on data do not fire in ring 0',
  }),

  in64('apic', 'takes interrupts by priority, from itself, from the timer and by NMI through its local APIC', {
    needs: ['long-mode', 'apic'],
  }),
  in64('apic-modes', 'changes modes and timers of its local APIC, and loses no NMI of two processors', {
    witness: 'manual',
    needs: ['long-mode', 'apic'],
    cpus: 2,
  }),
  in64('io-apic-many', 'sends lines through the I/O APIC to one, some and all of four processors in x2APIC mode', {
    witness: 'manual',
    needs: ['long-mode', 'apic'],
    cpus: 4,
  }),
  in64('io-apic', 'takes edges and levels through the I/O APIC, masked and unmasked', { needs: ['long-mode', 'apic'] }),
  in64('processors', 'starts two more processors, which count under a lock, write in turn and interrupt each other', {
    cpus: 3,
  }),
  in64('clock', 'hears the clock by its three interrupts, sets it, and is woken by its alarm from sleep (ACPI S3)', {
    needs: ['long-mode', 'pic-and-pit'],
  }),

  in32('tasks', 'switches tasks by CALL, JMP, IRET, interrupts and exceptions, and is refused what is no task', {
    softwareKvm: 'a far call to a task is an internal error',
  }),
  in32('task-gates', 'enters tasks by exceptions, NMI and interrupts under paging, and mends the stack of another', {
    witness: 'manual', // QEMU's translator loses its way behind the task in ring 3; all before that it prints too
    needs: ['apic'],
  }),
  in64('protection', 'is held to SMEP, SMAP and protection keys', { needs: ['long-mode', 'model'] }),
  in64('rights', 'is allowed what the manual says for every combination of rights, control bits and access', {
    witness: 'manual', // QEMU's translator leaves P out of the error code of a reserved bit
    needs: ['long-mode', 'model'],
  }),
  in64('control', 'is refused what CR0, CR3, CR4, INVPCID and FSGSBASE do not allow', {
    witness: 'manual',
    needs: ['long-mode', 'model'],
  }),
  in64('debug-traps', 'learns from DR6 what stopped it, around MOV SS, INT1 and branches', {
    witness: 'manual',
    softwareKvm: 'MOV SS does not hold a trap back, and INT1 is an internal error',
  }),

  in64('sha256', 'computes SHA-256 in compiled C'),
  in32('sort', 'sorts through function pointers in compiled C'),
  in64('sieve', 'finds primes and divisors in compiled C'),
  in32('text', 'moves and searches text in compiled C'),
  in32('wide', 'computes with 64 bits in compiled 32-bit C'),
  in64('interpreter', 'interprets a program through a jump table in compiled C'),
];

/** Whether a guest needs what only the emulated backend is sure to have. */
export const needsEmulated = ({ needs }: Guest): boolean => needs.includes('apic') || needs.includes('model');

/** Whether time decides what a guest leaves, though not what it prints: interrupts of a timer, several processors. */
export const timeDecides = ({ needs, cpus }: Guest): boolean => needs.includes('pic-and-pit') || cpus > 1;

const file = (path: string): URL => new URL(path, import.meta.url);

export const imageOf = (guest: Guest): URL => file(`build/${guest.name}.${guest.entry === 'flat' ? 'bin' : 'elf'}`);
export const expectedFileOf = (guest: Guest): URL => file(`expected/${guest.name}.txt`);
export const expectedOf = (guest: Guest): string => readFileSync(expectedFileOf(guest), 'latin1');
export const softwareKvmFileOf = (guest: Guest): URL => file(`expected/software-kvm/${guest.name}.txt`);
