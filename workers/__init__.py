"""The hands: Celery tasks that claim a job, drive its searcher, report and finish."""
