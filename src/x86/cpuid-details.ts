/** Features of features: what CPUID's leaves 0Dh to 29h tell of XSAVE, SGX, tracing, AMX, AVX10 and others (SDM Vol. 2A, CPUID). */
import type { CpuidFeatureTable } from './cpuid.ts';

const sdm = (leaf: string): string => `SDM Vol. 2A, CPUID leaf ${leaf}`;

/** Leaf 21h tells a guest that it is a trust domain; leaves 0Fh and 10h share out what a whole package has. */
export const detailFeatures: readonly CpuidFeatureTable[] = [
  {
    leaf: 0xd,
    subleaf: 1,
    register: 'eax',
    section: sdm('0Dh, subleaf 1'),
    bits: { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3, xfd: 4 },
  },
  {
    leaf: 0x12,
    subleaf: 0,
    register: 'eax',
    section: sdm('12h'),
    bits: {
      sgx1: 0,
      sgx2: 1,
      'sgx-enclv': 5,
      'sgx-encls': 6,
      'sgx-everifyreport2': 7,
      'sgx-eupdatesvn': 10,
      'sgx-edeccssa': 11,
    },
  },
  {
    leaf: 0x12,
    subleaf: 0,
    register: 'ebx',
    section: sdm('12h'),
    bits: { 'sgx-exinfo': 0, 'sgx-cpinfo': 1 },
  },
  {
    leaf: 0x12,
    subleaf: 1,
    register: 'eax',
    section: sdm('12h, subleaf 1'),
    bits: {
      'sgx-init': 0,
      'sgx-debug': 1,
      'sgx-mode64': 2,
      'sgx-provisionkey': 4,
      'sgx-tokenkey': 5,
      'sgx-cet': 6,
      'sgx-kss': 7,
      'sgx-aex-notify': 10,
    },
  },
  {
    leaf: 0x14,
    subleaf: 0,
    register: 'ebx',
    section: sdm('14h'),
    bits: {
      'pt-cr3-filter': 0,
      'pt-psb-cyc': 1,
      'pt-ip-filter': 2,
      'pt-mtc': 3,
      ptwrite: 4,
      'pt-power-events': 5,
      'pt-psb-pmi-preservation': 6,
      'pt-event-trace': 7,
      'pt-tnt-disable': 8,
    },
  },
  {
    leaf: 0x14,
    subleaf: 0,
    register: 'ecx',
    section: sdm('14h'),
    bits: { 'pt-topa': 0, 'pt-topa-entries': 1, 'pt-single-range': 2, 'pt-trace-transport': 3, 'pt-lip': 31 },
  },
  {
    leaf: 0x19,
    subleaf: 0,
    register: 'eax',
    section: sdm('19h'),
    bits: { 'kl-cpl0-only': 0, 'kl-no-encrypt': 1, 'kl-no-decrypt': 2 },
  },
  {
    leaf: 0x19,
    subleaf: 0,
    register: 'ebx',
    section: sdm('19h'),
    // Set once software has turned Key Locker on.
    bits: { aeskle: 0, 'wide-kl': 2, 'kl-backup': 4 },
  },
  {
    leaf: 0x19,
    subleaf: 0,
    register: 'ecx',
    section: sdm('19h'),
    bits: { 'kl-no-backup': 0, 'kl-random-key': 1 },
  },
  {
    leaf: 0x1c,
    subleaf: 0,
    register: 'ebx',
    section: sdm('1Ch'),
    bits: { 'lbr-cpl-filter': 0, 'lbr-branch-filter': 1, 'lbr-call-stack': 2 },
  },
  {
    leaf: 0x1c,
    subleaf: 0,
    register: 'ecx',
    section: sdm('1Ch'),
    bits: { 'lbr-mispredict': 0, 'lbr-timed': 1, 'lbr-branch-type': 2 },
  },
  {
    leaf: 0x1e,
    subleaf: 1,
    register: 'eax',
    section: sdm('1Eh, subleaf 1'),
    // Bits 3:0 say again what leaf 7 says.
    bits: { 'amx-fp8': 4, 'amx-tf32': 6, 'amx-avx512': 7, 'amx-movrs': 8 },
  },
  { leaf: 0x20, subleaf: 0, register: 'ebx', section: sdm('20h'), bits: { 'hreset-thread-director': 0 } },
  {
    leaf: 0x23,
    subleaf: 0,
    register: 'ebx',
    section: sdm('23h'),
    bits: { 'perfmon-unitmask2': 0, 'perfmon-equal': 1 },
  },
  {
    leaf: 0x24,
    subleaf: 0,
    register: 'ebx',
    section: sdm('24h'),
    bits: { 'avx10-128': 16, 'avx10-256': 17, 'avx10-512': 18 },
  },
  { leaf: 0x24, subleaf: 1, register: 'ecx', section: sdm('24h, subleaf 1'), bits: { 'avx10-vnni-int': 2 } },
  { leaf: 0x29, subleaf: 0, register: 'ebx', section: sdm('29h'), bits: { 'apx-nci-ndd-nf': 0 } },
];
