"""Pure functions on masks, boxes, text and files; import nothing else of flmm."""
