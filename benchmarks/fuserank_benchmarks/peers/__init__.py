"""The stacks that people would glue together, served beside ours on the same models and data."""
