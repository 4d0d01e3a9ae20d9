"""--reparam: operators that are linear in one tensor and meet become one operator."""
