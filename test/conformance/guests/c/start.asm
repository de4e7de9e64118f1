; start.asm: the way into a C guest; MODE is given by the build.
%include "start.inc"
extern guest_main
main:
  call guest_main
  ret
