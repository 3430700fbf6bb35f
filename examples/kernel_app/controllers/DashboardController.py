class DashboardController:
    # Arguments come by name, and are converted to what they are annotated with.
    def show(self, user_id: int, request):
        return f"dashboard {user_id} of {request.state.user}"

    async def settings(self, user_id: int, response):
        return response.write_header("Cache-Control", "no-store").end({"id": user_id})
