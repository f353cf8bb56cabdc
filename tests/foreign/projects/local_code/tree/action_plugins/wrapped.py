from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(
            self._execute_module("mark", module_args={"path": self._task.args["path"]}, task_vars=task_vars)
        )
        return result
