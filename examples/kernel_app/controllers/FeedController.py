class FeedController:
    def __call__(self, request):
        return {"feeds": ["news", "weather"], "next": request.get_query("page")}
