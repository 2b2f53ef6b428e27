from .charts import terminal_curve as terminal_curve
from .report import read_history as read_history
from .report import write_report as write_report
