"""Settings of the memory allocator that make training on CPUs faster."""

#: Environment variables, read by glibc and torch at start-up. Large buffers are kept instead of
#: being returned to the system: of small models' training half the time would go into page faults.
ALLOCATOR_ENVIRONMENT = {
    'MALLOC_MMAP_THRESHOLD_': '4000000000',
    'MALLOC_TRIM_THRESHOLD_': '8000000000',
    'MALLOC_TOP_PAD_': '200000000',
    'THP_MEM_ALLOC_ENABLE': '1',
}
